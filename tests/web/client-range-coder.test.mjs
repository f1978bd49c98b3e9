/** The range decoder: the shared golden vectors, complete, cut at every byte, with tails. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { UNKNOWN, createRangeDecoder } from "../../service/thumbstream/web/client/range_coder.js";
import { bytesOf, vectorsOf } from "./client-vectors.mjs";

/** The decisions that the data determine. */
function decodeBits(data, position, probabilities) {
  const decode = createRangeDecoder(data, position);
  const bits = [];
  for (const probability of probabilities) {
    const bit = decode(probability);
    if (bit === UNKNOWN) {
      assert.equal(decode(probability), UNKNOWN, "UNKNOWN is final");
      break;
    }
    bits.push(bit);
  }
  return bits;
}

for (const { name, probabilities, bits, hex, known } of vectorsOf("rangecoder")) {
  test(`decisions: ${name}`, () => {
    const data = bytesOf(hex);
    const expected = [...bits].map(Number);
    for (let n = 0; n <= data.length; n++) {
      const actual = decodeBits(data.subarray(0, n), 0, probabilities);
      assert.deepEqual(actual, expected.slice(0, known[n]), `${n} bytes`);
    }
    for (const tail of [[0], [255], [0x5a, 0xff, 0, 1, 2]]) {
      const padded = Uint8Array.of(7, ...data, ...tail);
      assert.deepEqual(decodeBits(padded, 1, probabilities), expected, "with bytes around");
    }
  });
}
