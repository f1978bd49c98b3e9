/** The encoder writes the bytes of the Python encoder. make_encode_vectors.py writes the vectors. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";

import { parseHeader } from "../../service/thumbstream/web/client/bitstream.js";
import { streamBytes } from "../../service/thumbstream/web/client/bytes.js";
import { encode, prepare } from "../../service/thumbstream/web/client/encode.js";
import { latentsOf } from "../../service/thumbstream/web/client/encode_transform.js";
import { bytesOf } from "./client-vectors.mjs";

const read = (name) => JSON.parse(readFileSync(new URL(name, import.meta.url), "utf8"));
const { tables } = read("lapped-vectors.json");

/** The pictures of make_encode_vectors.py. */
function picture({ width, height, hidden }) {
  const data = new Uint8ClampedArray(4 * width * height);
  data.forEach((_, i) => {
    const c = i % 4, x = (i >> 2) % width, y = Math.floor((i >> 2) / width);
    const u = Math.floor((256 * x) / width), v = Math.floor((256 * y) / height);
    const a = Math.abs(((u * (c + 3) + v * 7) % 510) - 255);
    const b = Math.abs(((x * x + y * (c + 1) * 11) % 510) - 255);
    const alpha = hidden ? Math.abs(((u * 9 + v * 5) % 1020) - 510) - 60 : 255;
    data[i] = c === 3 ? alpha : (3 * a + b) >> 2;
  });
  return { width, height, data };
}

function encodeWith(tables, picture, options) {
  const { layers, grid, finish } = prepare(tables, picture, options);
  return finish(layers.map((samples) => latentsOf(tables, samples, grid)));
}

for (const { hex, size, maxBytes, alpha, ...shape } of read("encode-vectors.json")) {
  const options = { size, maxBytes, alpha };
  test(`the bytes of the Python encoder: ${JSON.stringify({ ...shape, ...options })}`, () => {
    assert.deepEqual(encodeWith(tables, picture(shape), options), bytesOf(hex));
  });
}

describe("encode", () => {
  const lake = picture({ width: 300, height: 200 });

  test("makes prefixes of one stream", () => {
    const stream = encode(lake);
    assert.ok(stream.length > 300);
    for (const maxBytes of [1, 2, 24, 200]) {
      assert.deepEqual(encode(lake, { maxBytes }), stream.slice(0, maxBytes));
    }
    assert.deepEqual(encode(lake, { maxBytes: 9999 }), stream);
  });

  test("stores the aspect ratio of the original", () => {
    const small = picture({ width: 32, height: 21 });
    const original = { width: 3000, height: 2000 };
    assert.equal(parseHeader(encode(small, { original })).aspectRatio, 1.5);
    assert.equal(parseHeader(encode(small)).aspectRatio, 32 / 21);
  });

  test("makes streams that are read in base64 and in base64url", () => {
    const stream = encode(lake);
    for (const code of ["base64", "base64url"]) {
      assert.deepEqual(streamBytes(Buffer.from(stream).toString(code)), stream);
    }
  });

  test("does not change the picture", () => {
    const before = lake.data.slice();
    encode(lake, { maxBytes: 24 });
    assert.deepEqual(lake.data, before);
  });

  test("rejects what is not a picture", () => {
    for (const wrong of [
      undefined, {}, { width: 1, height: 1 }, { width: 2, height: 1, data: new Uint8Array(4) },
      { width: 0, height: 1, data: new Uint8Array() }, { width: 1, height: 1, data: new Float32Array(4) },
      { width: 1.5, height: 2, data: new Uint8Array(12) },
    ]) {
      assert.throws(() => encode(wrong), TypeError);
    }
  });

  test("rejects invalid options", () => {
    for (const wrong of [
      { size: 12 }, { size: 264 }, { size: 0 }, { maxBytes: 0 }, { maxBytes: 1.5 }, { maxBytes: "24" },
      { alpha: "drop" }, { original: { width: 0, height: 3 } }, { original: {} },
    ]) {
      assert.throws(() => encode(lake, wrong), RangeError);
    }
  });
});
