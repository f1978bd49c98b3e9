/**
 * Latents to the bytes of a stream of format 8, after its header: the most important ones first.
 *
 * As lapped/symbols.py. docs/bitstream.md, "Format 8".
 */

import { AXIS_BITS, EVEN } from "./colors.js";
import { createSteps } from "./lapped.js";
import { stepOf } from "./linear.js";
import { POSITIVE, codeStep, createLayer } from "./look.js";
import { createRangeEncoder } from "./range_encoder.js";

/**
 * @param {object} tables of the model
 * @param {Float64Array[]} layers scaled latents of the colors and, for a transparent picture, of alpha
 * @param {{rows: number, columns: number}} grid of cells
 * @param {number} axis of the colors
 * @param {number} [maxBytes] bytes that are needed: the result may have more
 * @returns {Uint8Array}
 */
export function encodeLatents(tables, layers, grid, axis, maxBytes = Infinity) {
  const { classes, starts, steps } = createSteps(tables, grid);
  const last = classes.map((class_) => tables.planes - 1 - ((tables.planes - 1 - class_) & 3));
  const targets = layers.map((latents) => Int32Array.from(latents, (latent, i) => {
    const planes = Math.max(0, Math.floor((tables.planes - 1 - starts[i]) / 4) + 1);
    const magnitude = Math.floor(Math.abs(latent) / stepOf(last[i]));
    return Math.sign(latent) * Math.min(magnitude, 2 ** planes - 1);
  }));
  const coded = layers.map(() => createLayer(classes.length));
  const encoder = createRangeEncoder();
  for (let i = AXIS_BITS; i--; ) encoder.encode((axis >> i) & 1, EVEN);
  for (const { plane, group, layer, symbols } of steps(coded.map(({ states }) => states))) {
    codeStep(symbols, coded[layer], plane, group, (probability, latent, kind) => {
      const target = targets[layer][latent];
      const magnitude = Math.abs(target) >> ((last[latent] - plane) / 4);
      const bit = kind === POSITIVE ? (target > 0 ? 1 : 0) : magnitude & 1;
      encoder.encode(bit, probability);
      return bit;
    });
    if (encoder.stableLength() >= maxBytes) break;
  }
  return encoder.finish();
}
