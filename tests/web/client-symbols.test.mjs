/** Symbols: the shared golden vectors, complete, cut at every byte, with tails, mutated. */

import assert from "node:assert/strict";
import { before, test } from "node:test";

import { parseHeader } from "../../service/thumbstream/web/client/bitstream.js";
import { readTables } from "../../service/thumbstream/web/client/encode_tables.js";
import { BitstreamError, load } from "../../service/thumbstream/web/client/index.js";
import {
  createContextModel, createSteps, decodeLatents,
} from "../../service/thumbstream/web/client/lapped.js";
import { probabilityOf, symbolOf } from "../../service/thumbstream/web/client/look.js";
import { createMemory } from "../../service/thumbstream/web/client/memory.js";
import { KERNELS, bytesOf, coarser, numbers, smallModel, vectorsOf } from "./client-vectors.mjs";

const PUBLISHED = vectorsOf("thumbstream-2");
const PLANES = readTables().planes;
const EVERY_CUT = 96; // bytes; of longer prefixes every seventh, and the last: each costs 10 ms
const MUTATIONS = 12; // of each vector

/** Asserts how many symbols are decoded, and that they agree with the states after the last plane. */
function assertDecoded({ latents, decodedCount, axis }, vector, planes, expectedCount, message) {
  const { states } = vector;
  assert.equal(decodedCount, expectedCount, message);
  if (decodedCount) assert.equal(axis, vector.axis, message);
  assert.equal(latents.length, states.length, message);
  latents.forEach((layer, i) => {
    const finest = states[i].flat();
    assert.equal(layer.states.length, finest.length, message);
    finest.forEach((state, place) => {
      const expected = coarser(state, layer.levels[place], planes);
      if (layer.states[place] !== expected) assert.equal(layer.states[place], expected, message);
    });
  });
}

test("logits and probabilities of decisions are those of the tables", () => {
  const { decisions, logistic } = vectorsOf("lapped");
  const { significant, positive, upper } = decisions;
  significant.forEach((row, scale) => row.forEach((logit, mean) => {
    const signed = positive[scale][mean], half = upper[scale][mean];
    for (const sign of [1, -1]) {
      const of = (state, mean) => symbolOf(0, state, scale, mean).logits;
      assert.deepEqual(of(0, sign * mean), [logit, (mean && sign) * signed || 0]);
      assert.equal(of(sign, sign * (24 - 2 * mean))[0], half); // the interval's middle is at 24
      assert.equal(of(sign, sign * (24 + 2 * mean))[0] || 0, -half || 0);
    }
  }));
  assert.deepEqual(logistic.map((_, i) => probabilityOf(i - 2839)), logistic);
});

for (const [name, kernels] of Object.entries(KERNELS)) {
  test(`the small model, ${name}: every cut and every tail`, () => {
    const { tables, vectors } = smallModel();
    const memory = createMemory(kernels());
    const createContext = createContextModel(tables, memory);
    for (const vector of vectors) {
      const { hex, rows, columns, layers, known, name: vectorName } = vector;
      const grid = { rows, columns };
      const steps = createSteps(tables, grid, createContext);
      const decode = (stream) => memory.freeAfter(() => {
        const found = decodeLatents(tables, stream, 0, layers, grid, steps);
        return { ...found, latents: found.layers };
      });
      const data = bytesOf(hex);
      for (let n = 0; n <= data.length; n++) {
        assertDecoded(decode(data.subarray(0, n)), vector, tables.planes, known[n], `${vectorName}, ${n} bytes`);
      }
      for (const tail of [[0], [255, 255], [1, 2, 3, 4, 5, 6, 7, 8]]) {
        const found = decode(Uint8Array.of(...data, ...tail));
        assertDecoded(found, vector, tables.planes, known.at(-1), `${vectorName}, tail`);
      }
    }
  });
}

const decoders = {};

before(async () => {
  decoders.wasm = await load();
  decoders.plain = await load({ wasm: false });
});

for (const vector of PUBLISHED.vectors) {
  const data = bytesOf(vector.hex);

  test(`${PUBLISHED.model}: ${vector.name}`, () => {
    const header = parseHeader(data).length;
    for (let n = 1; n < header; n++) {
      assert.equal(decoders.wasm.symbols(data.subarray(0, n)).decodedCount, vector.known[n], `${n} bytes`);
    }
    for (let n = header; n <= data.length; n += n < EVERY_CUT || n > data.length - 8 ? 1 : 7) {
      const found = decoders.wasm.symbols(data.subarray(0, n));
      assertDecoded(found, vector, PLANES, vector.known[n], `${n} bytes`);
    }
    const total = vector.known.at(-1);
    for (const tail of [[0], [255, 255, 255]]) {
      const found = decoders.wasm.symbols(Uint8Array.of(...data, ...tail));
      assertDecoded(found, vector, PLANES, total, "tail");
    }
    for (const n of [1, 2, 16, 33, 64, 128, data.length]) {
      const [one, other] = [decoders.wasm, decoders.plain].map((d) => d.symbols(data.subarray(0, n)));
      assert.deepEqual(one, other, `${n} bytes, plain JavaScript`);
    }
  });

  test(`${PUBLISHED.model}: ${vector.name}, mutated`, () => {
    const next = numbers(data.length);
    for (let i = 0; i < MUTATIONS; i++) {
      const mutated = data.slice(0, Math.min(data.length, 200));
      for (let k = 0; k <= i % 3; k++) mutated[next() % mutated.length] = next() & 255;
      let found;
      try {
        found = decoders.wasm.decode(mutated);
      } catch (error) {
        assert.ok(error instanceof BitstreamError, error);
        continue;
      }
      assert.equal(found.data.length, 4 * found.width * found.height);
      assert.deepEqual(decoders.plain.symbols(mutated), decoders.wasm.symbols(mutated));
    }
  });
}
