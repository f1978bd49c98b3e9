/** The mean colour of a picture, as CSS takes it. */

import { hex } from "./text.js";

/**
 * @param {Uint8ClampedArray} data RGBA, not premultiplied
 * @param {number} width of what is shown, in samples; those of the last column and row may lie
 *   outside in part, and then count less
 * @param {number} height
 * @returns {string} `#rrggbb`, or `#rrggbbaa` where alpha is not 255
 */
export function averageOf(data, width, height) {
  const sums = [0, 0, 0];
  let weight = 0;
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i += 4) {
      const seen = Math.min(1, width - x) * Math.min(1, height - y) * data[i + 3];
      weight += seen;
      for (let c = 0; c < 3; c++) sums[c] += data[i + c] * seen;
    }
  }
  const alpha = Math.round(weight / (width * height));
  const colour = sums.map((sum) => Math.round(sum / (weight || 1)));
  return `#${hex(alpha < 255 ? [...colour, alpha] : colour)}`;
}
