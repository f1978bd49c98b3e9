/** Reduction and enlargement against Pillow's `resize(..., LANCZOS)` of the same pictures. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { resample } from "../../service/thumbstream/web/resample.js";
import { render, texture } from "./pictures.mjs";

// RGB of every pixel, row by row, in hexadecimal.
const PILLOW = [
  [[50, 37], [8, 6],
    "9fa890ac8e6081534e5646734d7ea380ab9eaeae80a8825ab29e6ca1663064386d36618c6b95bd9bc5a3be9951a17737" +
    "ad8c5e7d474c4351754d76a07ca6b0afbd73ac7c4c836748938258824154455a825383a98bb3a9b8a567af663ea2335a" +
    "9862425a426a4a70a3709abca3c291bc94518d625365466c815a5151567f5e8cb785adbeb6a477995243664c613c5582"],
  [[5, 4], [8, 6],
    "628ab2648cb46991b86d95b87198b5759cba7ba1d77ca3e8638bb3668eb56d97c2729fd677a1f87da5fb84af9887b455" +
    "658cb26a93c074a1cf7cadc383bcdf8cd0df95dc659bdf12668eae6c97d678aad384b8568bd11b97f424a3ff95a8ffdc" +
    "688fad709ae380b7df8dde3397b011a56870b4a492bce6856990af729ae584bfe792f9469e8f5fac00fcbd4d76c7c700"],
];

for (const [[width, height], [w, h], hex] of PILLOW) {
  test(`${width} x ${height} to ${w} x ${h}`, () => {
    const mine = resample(texture(width, height, 8), w, h);
    const expected = Buffer.from(hex, "hex");
    for (let i = 0; i < w * h; i++) {
      for (let c = 0; c < 3; c++) {
        const distance = Math.abs(mine[4 * i + c] - expected[3 * i + c]);
        assert.ok(distance <= 1, `pixel ${i}, channel ${c}: ${distance} levels off`);
      }
      assert.equal(mine[4 * i + 3], 255);
    }
  });
}

test("hidden colors do not bleed", () => {
  const disc = (hidden) =>
    render(60, 60, (x, y) =>
      Math.hypot(x - 29.5, y - 29.5) < 22 ? [210, 40, 30, 255] : [...hidden, 0],
    );
  const [black, green] = [[0, 0, 0], [0, 255, 0]].map((hidden) => resample(disc(hidden), 16, 16));
  assert.deepEqual(black, green);
  let edge = 0;
  for (let i = 0; i < black.length; i += 4) {
    const alpha = black[i + 3];
    if (alpha === 0) continue;
    edge += alpha < 250;
    const visible = [...black.slice(i, i + 3)];
    assert.ok(visible.every((sample, c) => Math.abs(sample - [210, 40, 30][c]) <= 1), `${visible}`);
  }
  assert.ok(edge > 10);
});

test("a transparent picture keeps its mean alpha", () => {
  const picture = render(40, 30, (x, y) => [9, 99, 199, (x * 6 + y) % 256]);
  const mean = (data) => data.reduce((sum, v, i) => sum + (i % 4 === 3 ? v : 0), 0) / (data.length / 4);
  assert.ok(Math.abs(mean(resample(picture, 8, 6)) - mean(picture.data)) < 2);
});

test("the same size returns the same pixels", () => {
  const picture = texture(9, 7, 1);
  assert.deepEqual(resample(picture, 9, 7), picture.data);
});

test("a flat picture stays flat at every size", () => {
  const picture = render(13, 11, () => [9, 99, 199]);
  for (const [width, height] of [[1, 1], [3, 2], [40, 50]]) {
    const out = resample(picture, width, height);
    for (let i = 0; i < out.length; i += 4) {
      assert.deepEqual([...out.slice(i, i + 4)], [9, 99, 199, 255]);
    }
  }
});
