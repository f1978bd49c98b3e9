/** The mean color of a picture in CSS notation. */

import { toHex } from "./bytes.js";

/**
 * @param {Uint8ClampedArray} data RGBA, not premultiplied
 * @param {number} width of the visible part, in samples: the last column and row may be visible in
 *   part, and are weighted accordingly
 * @param {number} height
 * @returns {string} `#rrggbb`, or `#rrggbbaa` if alpha is not 255
 */
export function meanColor(data, width, height) {
  const sums = [0, 0, 0];
  let weight = 0;
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i += 4) {
      const coverage = Math.min(1, width - x) * Math.min(1, height - y) * data[i + 3];
      weight += coverage;
      for (let c = 0; c < 3; c++) sums[c] += data[i + c] * coverage;
    }
  }
  const alpha = Math.round(weight / (width * height));
  const color = sums.map((sum) => Math.round(sum / (weight || 1)));
  return `#${toHex(alpha < 255 ? [...color, alpha] : color)}`;
}
