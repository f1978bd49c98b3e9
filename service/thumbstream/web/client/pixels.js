/** Samples to a picture: RGBA and the mean color. */

import { toHex } from "./bytes.js";

const CELL = 8; // pixels
const GRIDS = 16; // whose results are kept

/** Rows and columns of the cells of a picture. */
export const gridOf = ({ width, height }) =>
  ({ rows: Math.ceil(height / CELL), columns: Math.ceil(width / CELL) });

/** A function of grids whose last results are kept. */
export function perGrid(create) {
  const results = new Map();
  return (grid) => {
    const key = `${grid.rows} ${grid.columns}`;
    if (results.size > GRIDS) results.clear();
    if (!results.has(key)) results.set(key, create(grid));
    return results.get(key);
  };
}

/**
 * @param {object} header what `parseHeader` returns
 * @param {Float64Array[]} layers samples about in [-1, 1] of the colors and, with alpha, of its layer:
 *   3 planes of 8 rows x 8 columns of cells; without any, the picture is gray
 * @returns {import("./index.js").Picture}
 */
export function pictureOf({ width, height, alpha, aspectRatio }, [colors, opacity]) {
  const { rows, columns } = gridOf({ width, height });
  const plane = CELL * CELL * rows * columns;
  const data = new Uint8ClampedArray(4 * width * height);
  const level = (sample) => (sample + 1) * 127.5;
  for (let i = 0; i < data.length; i += 4) {
    const x = (i >> 2) % width;
    const at = ((i >> 2) - x) / width * CELL * columns + x;
    let sum = 0;
    for (let c = 0; c < 3; c++) {
      data[i + c] = level(colors ? colors[at + c * plane] : 0);
      sum += opacity ? opacity[at + c * plane] : 0;
    }
    data[i + 3] = alpha ? level(sum / 3) : 255;
  }
  return { width, height, aspectRatio, averageColor: meanColor(data), data };
}

/**
 * @param {Uint8ClampedArray} data RGBA, not premultiplied
 * @returns {string} the mean color in CSS notation: `#rrggbb`, or `#rrggbbaa` if alpha is not 255
 */
export function meanColor(data) {
  const sums = [0, 0, 0, 0];
  data.forEach((value, i) => (sums[i & 3] += i % 4 < 3 ? value * data[i | 3] : value));
  const alpha = sums.pop();
  const color = sums.map((sum) => Math.round(sum / (alpha || 1)));
  const mean = Math.round((4 * alpha) / data.length);
  return `#${toHex(mean < 255 ? [...color, mean] : color)}`;
}
