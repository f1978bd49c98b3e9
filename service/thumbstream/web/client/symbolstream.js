/**
 * Bytes to the symbols that they determine.
 *
 * A step's symbols travel by falling chance of not being 0; with two layers (colours and alpha)
 * those of the first layer come before those of the second. docs/bitstream.md, "Symbols".
 */

import { latentsOf } from "./nested.js";
import { UNKNOWN, rangeDecoder } from "./rangecoder.js";

const PLACES = 2 ** 24; // more than a step has symbols

/**
 * @param {object} model its `steps`, their `starts`, and its `contextOf` a picture
 * @param {Uint8Array} stream
 * @param {number} position index of the first byte behind the header
 * @param {number} layers 1, or 2 with alpha
 * @param {{rows: number, columns: number}} grid of cells
 * @returns {{latents: {states: Int32Array, levels: Uint8Array}[], known: number}} of each layer;
 *   and how many symbols are known
 */
export function readSymbols(model, stream, position, layers, { rows, columns }) {
  const cells = rows * columns;
  const decode = rangeDecoder(stream, position);
  const latents = Array.from({ length: layers }, () => latentsOf(model, cells));
  const contexts = latents.map(() => model.contextOf(rows, columns));
  let known = 0;
  for (const step of model.steps) {
    for (let layer = 0; layer < layers; layer++) {
      const { states, levels } = latents[layer];
      const [nonzero, positive] = contexts[layer](step, states);
      for (const symbol of byFallingChance(nonzero)) {
        let digit = decode(nonzero[symbol]);
        const sign = digit > 0 ? decode(positive[symbol]) : digit;
        if (sign === UNKNOWN) return { latents, known };
        if (digit) digit = 2 * sign - 1;
        const place = step.channels[Math.floor(symbol / cells)] * cells + (symbol % cells);
        states[place] = 3 * states[place] + digit;
        levels[place]++;
        known++;
      }
    }
  }
  return { latents, known };
}

/** Indices of chances, the largest first; of equal ones in their order. */
const byFallingChance = (chances) =>
  new Float64Array(chances)
    .map((chance, i) => i - chance * PLACES)
    .sort()
    .map((key) => key & (PLACES - 1));
