/**
 * The encoder of format 8 without networks: pixels to a stream, the most important bytes first.
 *
 * docs/bitstream.md, "Format 8". As LinearCodec of lapped/linear_codec.py, without alpha.
 */

import { createSteps } from "./lapped.js";
import { analyze, stepOf } from "./linear.js";
import { createRangeEncoder } from "./range_encoder.js";

const SIDE = 8;
const COLORS = 3;

/**
 * The bytes after the header.
 *
 * @param {object} tables of the model
 * @param {{width: number, height: number, data: ArrayLike<number>}} picture RGBA; transparency is
 *   ignored
 * @returns {Uint8Array}
 */
export function encodePixels(tables, picture) {
  const grid = { rows: Math.ceil(picture.height / SIDE), columns: Math.ceil(picture.width / SIDE) };
  const { classes, starts, steps } = createSteps(tables, grid);
  const latents = analyze(tables, samplesOf(picture, grid), grid);
  const lastPlanes = classes.map((class_) => tables.planes - 1 - ((tables.planes - 1 - class_) & 3));
  const target = Int32Array.from(latents, (latent, i) => {
    const planes = Math.max(0, Math.floor((tables.planes - 1 - starts[i]) / 4) + 1);
    const magnitude = Math.floor(Math.abs(latent) / stepOf(lastPlanes[i]));
    return Math.sign(latent) * Math.min(magnitude, 2 ** planes - 1);
  });
  const states = new Int32Array(classes.length);
  const encoder = createRangeEncoder();
  for (const { plane, symbols } of steps([states])) {
    for (const { latent, probabilities } of symbols.sort((a, b) => b.key - a.key)) {
      const before = states[latent];
      const finer = (lastPlanes[latent] - plane) / 4;
      const after = Math.sign(target[latent]) * (Math.abs(target[latent]) >> finer);
      if (before) {
        encoder.encode(Math.abs(after) - 2 * Math.abs(before), probabilities[0]);
      } else {
        encoder.encode(Math.abs(after), probabilities[0]);
        if (after) encoder.encode(after > 0 ? 1 : 0, probabilities[1]);
      }
      states[latent] = after;
    }
  }
  return encoder.finish();
}

/** Samples in [-1, 1], 3 planes; edge pixels are repeated to fill the last cells. */
function samplesOf({ width, height, data }, { rows, columns }) {
  const across = SIDE * columns, down = SIDE * rows;
  return Float64Array.from({ length: COLORS * across * down }, (_, i) => {
    const x = Math.min(i % across, width - 1);
    const y = Math.min(Math.floor(i / across) % down, height - 1);
    return data[4 * (y * width + x) + Math.floor(i / across / down)] / 127.5 - 1;
  });
}
