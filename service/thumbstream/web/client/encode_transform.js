/**
 * Pixels to latents of format 8: lapping, a KLT of the samples of a cell, scales, and for the channels
 * of group 0 a DCT over the cells. As lapped/linear.py, in double precision.
 */

const SIDE = 8; // pixels of a cell
const HALF = SIDE / 2;
const COLORS = 3;
/** Samples of a cell. */
export const SAMPLES = COLORS * SIDE * SIDE;

const float = Math.fround;

/**
 * @param {ArrayLike<number>} rgb samples of `width` x `height` pixels
 * @param {{rows: number, columns: number}} grid of cells that covers them
 * @returns {Float64Array} samples in [-1, 1]: a plane of each color; pixels at the edges are repeated
 *   to fill the last cells
 */
export function planesOf(rgb, { width, height }, { rows, columns }) {
  const across = SIDE * columns, down = SIDE * rows;
  return Float64Array.from({ length: COLORS * across * down }, (_, i) => {
    const x = Math.min(i % across, width - 1);
    const y = Math.min(Math.floor(i / across) % down, height - 1);
    return float(float(rgb[COLORS * (y * width + x) + Math.floor(i / across / down)] / 127.5) - 1);
  });
}

/**
 * @param {object} tables of the model
 * @param {Float64Array} planes as `planesOf` returns; lapped in place
 * @param {{rows: number, columns: number}} grid of cells
 * @returns {Float64Array} `[cell * 192 + (color, row, column)]`
 */
export function samplesOf({ rotation }, planes, { rows, columns }) {
  const across = SIDE * columns, down = SIDE * rows;
  for (let i = 0; i < COLORS * across; i++) {
    lap(planes, rotation, Math.floor(i / across) * across * down + (i % across), across, rows);
  }
  for (let i = 0; i < COLORS * down; i++) lap(planes, rotation, i * across, 1, columns);
  return planes.map((_, i) => {
    const cell = Math.floor(i / SAMPLES), color = Math.floor((i % SAMPLES) / SIDE / SIDE);
    const y = SIDE * Math.floor(cell / columns) + (Math.floor(i / SIDE) % SIDE);
    const x = SIDE * (cell % columns) + (i % SIDE);
    return planes[(color * down + y) * across + x];
  });
}

/** Mix the samples around the edges between the cells of a line, in place. */
function lap(samples, rotation, start, stride, cells) {
  for (let cell = 1; cell < cells; cell++) {
    const edge = start + SIDE * cell * stride;
    const pairs = Array.from({ length: HALF }, (_, i) =>
      [samples[edge - (i + 1) * stride], samples[edge + i * stride]]);
    for (let i = 0; i < HALF; i++) {
      const sum = pairs[i][0] + pairs[i][1];
      const turned = pairs.reduce((total, [a, b], j) => total + rotation[i * HALF + j] * (a - b), 0);
      samples[edge - (i + 1) * stride] = (sum + turned) / 2;
      samples[edge + i * stride] = (sum - turned) / 2;
    }
  }
}

/**
 * @param {object} tables of the model
 * @param {Float64Array} samples as `samplesOf` returns
 * @param {{rows: number, columns: number}} grid of cells
 * @param {ArrayLike<number>} [added] to the products `[channel * cells + cell]`, by a network
 * @returns {Float64Array} scaled latents `[channel * cells + cell]`, coefficients in group 0
 */
export function latentsOf({ first, klt, scales }, samples, { rows, columns }, added) {
  const cells = rows * columns;
  const latents = new Float64Array(scales.length * cells);
  for (let i = 0; i < latents.length; i++) {
    const row = SAMPLES * Math.floor(i / cells), column = SAMPLES * (i % cells);
    let sum = 0;
    for (let k = 0; k < SAMPLES; k++) sum += klt[row + k] * samples[column + k];
    latents[i] = (sum + (added ? added[i] : 0)) * scales[row / SAMPLES];
  }
  for (let i = 0; i < first * rows; i++) transform(latents, columns * i, 1, columns);
  for (let i = 0; i < first * columns; i++) {
    transform(latents, cells * Math.floor(i / columns) + (i % columns), columns, rows);
  }
  return latents;
}

/** The orthonormal DCT of `count` values, in place. */
function transform(values, start, stride, count) {
  const before = Array.from({ length: count }, (_, i) => values[start + i * stride]);
  for (let k = 0; k < count; k++) {
    const weight = Math.sqrt((k ? 2 : 1) / count);
    values[start + k * stride] = before.reduce((sum, value, i) =>
      sum + value * weight * Math.cos((Math.PI / (2 * count)) * k * (2 * i + 1)), 0);
  }
}
