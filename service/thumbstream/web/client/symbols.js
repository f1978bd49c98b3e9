/**
 * Bytes to the symbols that they determine.
 *
 * The symbols of a step are sorted by descending probability of not being 0. With alpha there are two
 * layers, and in each step the symbols of the color layer come before those of the alpha layer.
 * docs/bitstream.md, "Symbols".
 */

import { createLatents } from "./quantizer.js";
import { UNKNOWN, createRangeDecoder } from "./range_coder.js";

const MAX_SYMBOLS = 2 ** 24; // more than a step has

/**
 * @param {object} model its `steps`, their `starts`, and `createContext` for one layer
 * @param {Uint8Array} stream
 * @param {number} position index of the first byte after the header
 * @param {number} layers 1, or 2 with alpha
 * @param {{rows: number, columns: number}} grid of cells
 * @returns {{latents: {states: Int32Array, levels: Uint8Array}[], decodedCount: number}} the latents
 *   of each layer, and how many symbols the bytes determine
 */
export function decodeSymbols(model, stream, position, layers, { rows, columns }) {
  const cells = rows * columns;
  const decode = createRangeDecoder(stream, position);
  const latents = Array.from({ length: layers }, () => createLatents(model, cells));
  const contexts = latents.map(() => model.createContext(rows, columns));
  let decodedCount = 0;
  for (const step of model.steps) {
    for (let layer = 0; layer < layers; layer++) {
      const { states, levels } = latents[layer];
      const [nonzero, positive] = contexts[layer](step, states);
      for (const symbol of byDescendingProbability(nonzero)) {
        let digit = decode(nonzero[symbol]);
        const sign = digit > 0 ? decode(positive[symbol]) : digit;
        if (sign === UNKNOWN) return { latents, decodedCount };
        if (digit) digit = 2 * sign - 1;
        const i = step.channels[Math.floor(symbol / cells)] * cells + (symbol % cells);
        states[i] = 3 * states[i] + digit;
        levels[i]++;
        decodedCount++;
      }
    }
  }
  return { latents, decodedCount };
}

/** Indices of the probabilities, the largest first; equal ones stay in their order. */
const byDescendingProbability = (probabilities) =>
  new Float64Array(probabilities)
    .map((probability, i) => i - probability * MAX_SYMBOLS)
    .sort()
    .map((key) => key & (MAX_SYMBOLS - 1));
