/** The bundle is small, and does the same as the modules that it is made of. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

import * as bundle from "../../service/thumbstream/web/client/thumbstream.min.js";
import * as modules from "../../service/thumbstream/web/client/index.js";
import { bytesOf, vectorsOf } from "./client-vectors.mjs";

const CLIENT = new URL("../../service/thumbstream/web/client/", import.meta.url);
const MOST = { // bytes, gzipped
  "thumbstream.min.js": 6700, // all that a page loads that decodes and fetches
  "plain_kernels.min.js": 600, // only without WebAssembly
  "png.min.js": 600, // only for data URLs
  "fetch_many.min.js": 650, // only for many streams at once
  "published.js": 6000,
};
const ALL = 160_000; // with the weights

const sizeOf = (name) => gzipSync(readFileSync(new URL(name, CLIENT)), { level: 9 }).length;

for (const [name, most] of Object.entries(MOST)) {
  test(`${name} has at most ${most} bytes, gzipped`, (context) => {
    const size = sizeOf(name);
    context.diagnostic(`${name}: ${size} bytes, gzipped`);
    assert.ok(size <= most, `${size} bytes`);
  });
}

test(`code and weights have at most ${ALL} bytes`, (context) => {
  const sizes = [...Object.keys(MOST), "client.bin"].map(sizeOf);
  const all = sizes.reduce((sum, size) => sum + size);
  context.diagnostic(`code and weights: ${all} bytes, gzipped`);
  assert.ok(all <= ALL, `${all} bytes`);
});

test("the bundle does what its modules do", async () => {
  assert.deepEqual(Object.keys(bundle).sort(), Object.keys(modules).sort());
  for (const { hex } of vectorsOf("thumbstream-1").vectors.slice(0, 4)) {
    for (const n of [1, 9, 64]) {
      const stream = bytesOf(hex).subarray(0, n);
      assert.deepEqual(await bundle.decode(stream), await modules.decode(stream));
      assert.equal(await bundle.toDataURL(stream), await modules.toDataURL(stream));
      assert.equal(bundle.averageColor(stream), modules.averageColor(stream));
      assert.equal(bundle.aspectRatio(stream), modules.aspectRatio(stream));
    }
  }
  const decoder = await bundle.load({ wasm: false });
  assert.equal(decoder.modelId, "thumbstream-1");
  assert.throws(() => decoder.decode(Uint8Array.of(0)), bundle.BitstreamError);
});
