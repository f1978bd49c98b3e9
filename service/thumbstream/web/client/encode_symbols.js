/**
 * Latents to the bytes of a stream of format 8, after its header: the most important ones first.
 *
 * As lapped/symbols.py. docs/bitstream.md, "Format 8".
 */

import { createSteps } from "./lapped.js";
import { stepOf } from "./linear.js";
import { createRangeEncoder } from "./range_encoder.js";

/**
 * @param {object} tables of the model
 * @param {Float64Array[]} layers scaled latents of the colors and, for a transparent picture, of alpha
 * @param {{rows: number, columns: number}} grid of cells
 * @param {number} [maxBytes] bytes that are needed: the result may have more
 * @returns {Uint8Array}
 */
export function encodeLatents(tables, layers, grid, maxBytes = Infinity) {
  const { classes, starts, steps } = createSteps(tables, grid);
  const last = classes.map((class_) => tables.planes - 1 - ((tables.planes - 1 - class_) & 3));
  const targets = layers.map((latents) => Int32Array.from(latents, (latent, i) => {
    const planes = Math.max(0, Math.floor((tables.planes - 1 - starts[i]) / 4) + 1);
    const magnitude = Math.floor(Math.abs(latent) / stepOf(last[i]));
    return Math.sign(latent) * Math.min(magnitude, 2 ** planes - 1);
  }));
  const states = layers.map(() => new Int32Array(classes.length));
  const encoder = createRangeEncoder();
  for (const { plane, layer, symbols } of steps(states)) {
    for (const { latent, probabilities } of symbols.sort((a, b) => b.key - a.key)) {
      const before = states[layer][latent], target = targets[layer][latent];
      const after = Math.sign(target) * (Math.abs(target) >> ((last[latent] - plane) / 4));
      if (before) {
        encoder.encode(Math.abs(after) - 2 * Math.abs(before), probabilities[0]);
      } else {
        encoder.encode(Math.abs(after), probabilities[0]);
        if (after) encoder.encode(after > 0 ? 1 : 0, probabilities[1]);
      }
      states[layer][latent] = after;
    }
    if (encoder.stableLength() >= maxBytes) break;
  }
  return encoder.finish();
}
