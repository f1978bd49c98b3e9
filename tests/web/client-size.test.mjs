/** The built modules are small, and do the same as their sources. */

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

import "./file-fetch.mjs";
import * as bundle from "../../service/thumbstream/web/client/thumbstream.min.js";
import * as modules from "../../service/thumbstream/web/client/index.js";
import { bytesOf, vectorsOf } from "./client-vectors.mjs";

const CLIENT = new URL("../../service/thumbstream/web/client/", import.meta.url);
/** Limits in bytes, gzipped, without the weights. */
const PAGES = {
  "a page with <img data-thumb>": [7700, "images.min.js"],
  "a page that decodes, or sharpens previews": [12_900, "thumbstream.min.js", "worker.min.js"],
  "a page without WebAssembly, on top": [620, "plain_kernels.min.js"],
  "data URLs, on top": [660, "png.min.js"],
  "many streams at once, on top": [680, "fetch_many.min.js"],
  "streams that a service decodes, on top": [920, "decode_server.min.js"],
};
const ALL = 150_000; // with the weights

const sizeOf = (name) => gzipSync(readFileSync(new URL(name, CLIENT)), { level: 9 }).length;
const total = (names) => names.map(sizeOf).reduce((sum, size) => sum + size);

for (const [page, [limit, ...names]] of Object.entries(PAGES)) {
  test(`${page}: at most ${limit} bytes, gzipped`, (context) => {
    const size = total(names);
    context.diagnostic(`${names.join(", ")}: ${size} bytes, gzipped`);
    assert.ok(size <= limit, `${size} bytes`);
  });
}

test(`all code and weights of a page have at most ${ALL} bytes`, (context) => {
  const names = Object.values(PAGES).flatMap(([, ...files]) => files);
  const size = total([...names, "client.bin"]);
  context.diagnostic(`${names.join(", ")}, client.bin: ${size} bytes, gzipped`);
  assert.ok(size <= ALL, `${size} bytes`);
});

test("every built module has a limit", () => {
  const counted = new Set(Object.values(PAGES).flatMap(([, ...names]) => names));
  const built = readdirSync(CLIENT).filter((name) => name.endsWith(".min.js"));
  assert.deepEqual(built.filter((name) => !counted.has(name)), []);
});

test("shortened names are not part of the types", () => {
  const names = [...readFileSync(new URL("bundle.sh", CLIENT), "utf8").matchAll(/^PRIVATE=(.*)$/gm)]
    .flatMap(([, list]) => list.match(/\b[a-z]\w+/g));
  assert.ok(names.length > 10);
  const types = readdirSync(CLIENT).filter((name) => name.endsWith(".d.ts"));
  for (const type of types) {
    const text = readFileSync(new URL(type, CLIENT), "utf8").replaceAll(/\/\*\*.*?\*\//gs, "");
    for (const name of names) {
      assert.doesNotMatch(text, new RegExp(`^\\s+(readonly |[gs]et )?${name}\\b`, "m"), type);
    }
  }
});

test("the bundle does the same as its modules", async () => {
  assert.deepEqual(Object.keys(bundle).sort(), Object.keys(modules).sort());
  for (const { hex } of vectorsOf("thumbstream-2").vectors.slice(0, 4)) {
    for (const n of [1, 9, 64]) {
      const stream = bytesOf(hex).subarray(0, n);
      assert.deepEqual(await bundle.decode(stream), await modules.decode(stream));
      assert.equal(await bundle.toDataURL(stream), await modules.toDataURL(stream));
      assert.equal(bundle.averageColor(stream), modules.averageColor(stream));
      assert.equal(bundle.aspectRatio(stream), modules.aspectRatio(stream));
    }
  }
  const decoder = await bundle.load({ wasm: false });
  assert.equal(decoder.modelId, "thumbstream-2");
  assert.throws(() => decoder.decode(Uint8Array.of(0)), bundle.BitstreamError);
});
