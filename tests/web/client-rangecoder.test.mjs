/** The range decoder: the shared golden vectors, whole, cut at every byte, with tails. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { UNKNOWN, rangeDecoder } from "../../service/thumbstream/web/client/rangecoder.js";
import { bytesOf, vectorsOf } from "./client-vectors.mjs";

/** Decisions that the data determine, of a vector's probabilities. */
function decided(data, position, probabilities) {
  const decode = rangeDecoder(data, position);
  const bits = [];
  for (const chance of probabilities) {
    const bit = decode(chance);
    if (bit === UNKNOWN) {
      assert.equal(decode(chance), UNKNOWN, "what is not known stays so");
      break;
    }
    bits.push(bit);
  }
  return bits;
}

for (const { name, probabilities, bits, hex, known } of vectorsOf("rangecoder")) {
  test(`decisions: ${name}`, () => {
    const data = bytesOf(hex);
    const wanted = [...bits].map(Number);
    for (let n = 0; n <= data.length; n++) {
      const found = decided(data.subarray(0, n), 0, probabilities);
      assert.deepEqual(found, wanted.slice(0, known[n]), `${n} bytes`);
    }
    for (const tail of [[0], [255], [0x5a, 0xff, 0, 1, 2]]) {
      const padded = Uint8Array.of(7, ...data, ...tail);
      assert.deepEqual(decided(padded, 1, probabilities), wanted, "with bytes around");
    }
  });
}
