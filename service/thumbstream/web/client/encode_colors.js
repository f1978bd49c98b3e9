/**
 * Chooses the color axis of a picture: of those along which its colors vary most, the one whose
 * latents cost least. As lapped/colours.py.
 */

import { GRAY, halfway, reflect } from "./colors.js";
import { SAMPLES, latentsOf, samplesOf } from "./encode_transform.js";

const CANDIDATES = 4; // and gray
const FLAT = 1e-4; // mean squared difference of the samples of neighboring pixels of flat pictures
const FLAT_GAIN = 16; // bits that an axis must save in a flat picture, whose first bytes it may tint

/**
 * @param {object} tables of the model
 * @param {Float64Array} planes of the colors as `planesOf` returns; lapped in place
 * @param {{rows: number, columns: number}} grid of cells
 * @returns {{axis: number, samples: Float64Array}} the axis, and the samples as `samplesOf` returns,
 *   of rotated colors
 */
export function rotateBest(tables, planes, grid) {
  const moments = momentsOf(planes, grid);
  const flat = moments[0] + moments[4] + moments[8] < FLAT * planes.length;
  const axes = flat ? [0, nearestTo(tables, meanOf(planes))] : candidates(tables, moments);
  const lapped = samplesOf(tables, planes, grid);
  let best = { cost: Infinity };
  for (const axis of axes) {
    const samples = rotatedToGray(lapped, tables, axis);
    const cost = latentsOf(tables, samples, grid)
      .reduce((sum, latent) => sum + Math.log2(1 + 2 * Math.abs(latent)), flat && axis ? FLAT_GAIN : 0);
    if (cost < best.cost) best = { axis, samples, cost };
  }
  return best;
}

/** The inverse of `rotateToAxis`, of the samples of cells. */
function rotatedToGray(lapped, tables, axis) {
  const samples = lapped.slice();
  for (let start = 0; start < samples.length; start += SAMPLES) {
    const cell = samples.subarray(start, start + SAMPLES);
    reflect(cell, halfway(tables, axis));
    reflect(cell, GRAY);
  }
  return samples;
}

/** Second moments of the differences between neighboring pixels, color by color. */
function momentsOf(planes, { columns }) {
  const width = 8 * columns, plane = planes.length / 3;
  const moments = new Float64Array(9);
  for (let i = 0; i < plane; i++) {
    for (const next of [(i + 1) % width && i + 1, i + width]) {
      if (!next || next >= plane) continue;
      const steps = [0, plane, 2 * plane].map((at) => planes[at + next] - planes[at + i]);
      for (let k = 0; k < 9; k++) moments[k] += steps[Math.floor(k / 3)] * steps[k % 3];
    }
  }
  return moments;
}

/** Mean color, times the number of pixels. */
function meanOf(planes) {
  const plane = planes.length / 3;
  return [0, 1, 2].map((c) => planes.slice(c * plane, (c + 1) * plane).reduce((a, b) => a + b, 0));
}

const lengthOf = (a) => Math.hypot(...a);
const axisOf = ({ axes }, axis) => axes.slice(3 * axis, 3 * axis + 3);
const colored = ({ axes }) => Array.from({ length: axes.length / 3 - 1 }, (_, i) => i + 1);

/** The axis other than gray that is nearest to a color. */
function nearestTo(tables, color) {
  const near = (axis) => {
    const a = axisOf(tables, axis);
    return Math.abs(a.reduce((sum, x, c) => sum + x * color[c], 0)) / lengthOf(a);
  };
  return colored(tables).reduce((best, axis) => (near(axis) > near(best) ? axis : best));
}

/** Gray, and the axes along which the differences are largest. */
function candidates(tables, moments) {
  const along = (axis) => {
    const a = axisOf(tables, axis);
    const sum = moments.reduce((sum, moment, k) => sum + a[Math.floor(k / 3)] * moment * a[k % 3], 0);
    return sum / lengthOf(a) ** 2;
  };
  const found = colored(tables).map((axis) => ({ axis, along: along(axis) }));
  return [0, ...found.sort((a, b) => b.along - a.along).slice(0, CANDIDATES).map(({ axis }) => axis)];
}
