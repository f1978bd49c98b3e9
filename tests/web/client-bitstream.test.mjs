/** Headers: the shared golden vectors, complete, truncated, with tails, hostile. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { parseHeader } from "../../service/thumbstream/web/client/bitstream.js";
import { BitstreamError, aspectRatio } from "../../service/thumbstream/web/client/index.js";
import { bytesOf, vectorsOf } from "./client-vectors.mjs";

const { valid, cut, hostile } = vectorsOf("header");

const fields = ({ bitstream_id, width, height, length, alpha, aspect: [across, down] }) => ({
  bitstreamId: bitstream_id, width, height, length, alpha, aspectRatio: across / down,
});

test("parses valid headers, whatever follows", () => {
  for (const vector of valid) {
    const bytes = bytesOf(vector.hex);
    assert.deepEqual(parseHeader(bytes), fields(vector), vector.hex);
    for (const tail of [[0], [255, 255, 255]]) {
      assert.deepEqual(parseHeader(Uint8Array.of(...bytes, ...tail)), fields(vector), vector.hex);
    }
  }
});

test("parses truncated headers", () => {
  for (const vector of cut) {
    assert.deepEqual(parseHeader(bytesOf(vector.hex)), fields(vector), vector.hex);
  }
});

test("rejects hostile headers", () => {
  for (const { hex, reason } of hostile) {
    assert.throws(() => parseHeader(bytesOf(hex)), BitstreamError, `${hex}: ${reason}`);
  }
});

test("any three bytes are a header or a BitstreamError", () => {
  for (let first = 0; first < 256; first++) {
    for (let second = 0; second < 256; second += 3) {
      for (const third of [0, 7, 31, 32, 255]) {
        try {
          const { width, height } = parseHeader(Uint8Array.of(first, second, third));
          assert.ok(width >= 1 && width <= 256 && height >= 1 && height <= 256);
        } catch (error) {
          assert.ok(error instanceof BitstreamError, error);
        }
      }
    }
  }
});

test("the first byte gives the exact aspect ratio where it names one", () => {
  assert.equal(aspectRatio(Uint8Array.of(0x7e)), 3 / 2);
  assert.equal(aspectRatio(Uint8Array.of(0x8f)), 9 / 21);
  assert.equal(aspectRatio(Uint8Array.of(0x3f + 20)), 32 / 21);
  assert.equal(aspectRatio("fg=="), 3 / 2);
  assert.throws(() => aspectRatio(new Uint8Array()), { name: "BitstreamError" });
});
