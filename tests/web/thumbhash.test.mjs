/** ThumbHash against hashes and pixels of the format author's own JavaScript package, 0.1.1. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { approximateSize, decode, encode } from "../../service/thumbstream/web/thumbhash_format.js";
import { render, texture } from "./pictures.mjs";

function veiled(picture, seed) {
  const { width, height, data } = picture;
  return render(width, height, (x, y) => {
    const at = 4 * (y * width + x);
    return [...data.slice(at, at + 3), (x * 13 + y * y * 5 + seed * x * y) % 256];
  });
}

const GOLDEN = [
  {
    name: "square",
    picture: texture(32, 32, 1),
    hash: "1f080a37088f747789847768878878877777a78073043907",
    size: [32, 32],
    first: [58, 132, 167, 255],
    middle: [165, 118, 74, 255],
    last: [61, 113, 208, 255],
  },
  {
    name: "portrait",
    picture: texture(21, 32, 2),
    hash: "e2180a250a6f775b85778777778887780106064576",
    size: [23, 32],
    first: [66, 158, 215, 255],
    middle: [193, 160, 99, 255],
    last: [111, 55, 100, 255],
  },
  {
    name: "landscape, the largest side",
    picture: texture(100, 67, 3),
    hash: "df07060d827767b89898f789897a87778cafb8f814",
    size: [32, 23],
    first: [170, 164, 150, 255],
    middle: [113, 101, 112, 255],
    last: [142, 166, 169, 255],
  },
  {
    name: "wide",
    picture: texture(90, 10, 4),
    hash: "20f8090982a7f72a87788878f694f62845",
    size: [32, 5],
    first: [158, 166, 154, 255],
    middle: [165, 165, 169, 255],
    last: [139, 153, 125, 255],
  },
  {
    name: "tall",
    picture: texture(7, 60, 5),
    hash: "9f280e3906898f77768677778749800901",
    size: [5, 32],
    first: [100, 159, 198, 255],
    middle: [170, 124, 62, 255],
    last: [61, 63, 149, 255],
  },
  {
    name: "landscape with alpha",
    picture: veiled(texture(40, 30, 7), 3),
    hash: "2008861c8408f27d985c8776b77f8acf968757505564954706",
    size: [32, 26],
    first: [185, 150, 109, 136],
    middle: [99, 106, 131, 136],
    last: [139, 136, 103, 136],
  },
  {
    name: "portrait with alpha",
    picture: veiled(texture(24, 64, 8), 1),
    hash: "9ff78512020793e0ab9c96abfbfcf8aa05966770626484",
    size: [13, 32],
    first: [169, 145, 112, 119],
    middle: [106, 115, 142, 119],
    last: [148, 165, 148, 119],
  },
];

for (const { name, picture, hash, size, first, middle, last } of GOLDEN) {
  test(`${name}: the hash`, () => {
    const mine = encode(picture.width, picture.height, picture.data);
    assert.equal(Buffer.from(mine).toString("hex"), hash);
  });

  test(`${name}: the pixels`, () => {
    const { width, height, rgba } = decode(Buffer.from(hash, "hex"));
    assert.deepEqual([width, height], size);
    assert.equal(rgba.length, width * height * 4);
    const at = (x, y) => [...rgba.slice(4 * (y * width + x), 4 * (y * width + x) + 4)];
    assert.deepEqual(at(0, 0), first);
    assert.deepEqual(at(width >> 1, height >> 1), middle);
    assert.deepEqual(at(width - 1, height - 1), last);
  });
}

test("a hash draws at any wanted size", () => {
  const hash = Buffer.from(GOLDEN[0].hash, "hex");
  const { width, height, rgba } = decode(hash, { width: 9, height: 5 });
  assert.deepEqual([width, height, rgba.length], [9, 5, 9 * 5 * 4]);
});

test("a flat picture comes back as its colour, within the six bits of the header", () => {
  const { data } = render(16, 9, () => [128, 64, 200]);
  const { rgba } = decode(encode(16, 9, data));
  for (let i = 0; i < rgba.length; i += 4) {
    assert.ok(Math.abs(rgba[i] - 128) <= 8, `red ${rgba[i]}`);
    assert.ok(Math.abs(rgba[i + 1] - 64) <= 8, `green ${rgba[i + 1]}`);
    assert.ok(Math.abs(rgba[i + 2] - 200) <= 8, `blue ${rgba[i + 2]}`);
  }
});

test("a fully transparent picture hashes to transparent pixels", () => {
  const { data } = render(8, 8, () => [10, 20, 30, 0]);
  const { rgba } = decode(encode(8, 8, data));
  for (let i = 3; i < rgba.length; i += 4) assert.equal(rgba[i], 0);
});

test("sides over 100 pixels are refused", () => {
  assert.throws(() => encode(101, 4, new Uint8Array(101 * 4 * 4)), RangeError);
  assert.throws(() => encode(4, 101, new Uint8Array(101 * 4 * 4)), RangeError);
});

test("the approximate size keeps 32 pixels on the long side", () => {
  for (const { hash } of GOLDEN) {
    const { width, height } = approximateSize(Buffer.from(hash, "hex"));
    assert.equal(Math.max(width, height), 32);
  }
});
