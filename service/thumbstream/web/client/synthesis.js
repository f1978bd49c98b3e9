/**
 * Latents to samples: the linear transform, and what the synthesis network adds to it.
 *
 *     values * gains --> KLT, lapping inverted --------------------------------------------> +
 *     values, widths --> linear, means --> stage --> twice the side --> stage ... --> 3 x 3 > +
 *
 * Widths say how finely latents are known. A stage is some blocks of `x + pointwise(relu(depthwise(x)))`.
 * The model lists its layers and how to connect them. docs/javascript.md, "Synthesis".
 */

import { SAMPLES, joinCells, latentsOf } from "./linear.js";
import { planeSize } from "./memory.js";

const [UPSAMPLE, DEPTHWISE, RESIDUAL, SQUEEZE, EXPAND] = [1, 2, 3, 4, 5]; // 0: a plain convolution
const UNIT_PLANE = 32;
const COARSEST = 20; // plus the class of a latent: the lowest level that the network is given
const NOMINAL = 3 / 8; // logarithm of the mean step of latents, relative to the plane's
const SIDE = 8;

/**
 * @param {object} weights what `readWeights` returns
 * @param {object} memory what `createMemory` returns
 * @returns {(layer: {states: Int32Array, levels: Int32Array}, planes: number, classes: Uint8Array,
 *   grid: {rows: number, columns: number}) => Float64Array} draws a layer of which `planes` are
 *   complete: samples as `joinCells` returns them. It allocates memory that its caller frees.
 */
export function createSynthesis(weights, { kernels, allocate, storeFloats }) {
  const { gain, gainSlope, scales, first } = weights;
  const channels = scales.length;
  const klt = storeFloats(weights.klt);
  const zeros = allocate(SAMPLES);
  const logScales = scales.map((scale) => Math.log(scale) / 2);
  const layers = weights.layers.map((layer) => ({
    ...layer,
    w: storeFloats(layer.weights),
    bias: storeFloats(layer.bias),
    minimum: layer.relu ? 0 : -Infinity,
  }));

  /** A 1 x 1 convolution into `out`, or added to it. */
  const pointwise = ({ w, bias, outs, ins, minimum }, x, n, out, accumulate) => {
    kernels.conv(out, x, w, outs, bias, outs, ins, n, accumulate, minimum);
    return out;
  };

  /** Means of planes, as planes of which only the first sample counts. */
  const meansOf = (x, planes, samples, n) => {
    const { f } = kernels, step = planeSize(1), means = allocate(planes * step);
    for (let i = 0; i < planes; i++) {
      let sum = 0;
      for (let p = 0; p < samples; p++) sum += f[x + i * n + p];
      kernels.f[means + i * step] = sum / samples;
    }
    return means;
  };

  const network = (x, rows, columns) => {
    let before = x; // what a residual block is added to
    for (const layer of layers) {
      const { kind, outs, ins, taps, w, bias, minimum } = layer;
      const n = planeSize(rows * columns);
      if (kind === SQUEEZE) {
        x = pointwise(layer, meansOf(x, ins, rows * columns, n), planeSize(1), allocate(outs * planeSize(1)), 0);
      } else if (kind === EXPAND) {
        const step = planeSize(1), added = pointwise({ ...layer, minimum: -Infinity }, x, step, allocate(outs * step), 0);
        const { f } = kernels;
        for (let i = 0; i < outs * n; i++) {
          f[before + i] = Math.max(f[before + i] + f[added + Math.floor(i / n) * step], minimum);
        }
        x = before;
      } else if (taps > 1) {
        const depthwise = kind === DEPTHWISE;
        const planes = depthwise ? outs : ins;
        const padded = allocate(planes * (rows + 2) * (columns + 2));
        kernels.pad(padded, x, planes, rows, columns, n);
        x = allocate(outs * n);
        kernels.conv(
          x, padded, w, taps * outs, bias, outs, ins, n, 0, minimum, columns, rows, depthwise,
        );
      } else if (kind === RESIDUAL) {
        x = before = pointwise(layer, x, n, before, 1);
      } else {
        x = before = pointwise(layer, x, n, allocate(outs * n), 0);
        if (kind === UPSAMPLE) {
          const outPlane = planeSize(4 * rows * columns);
          before = allocate((outs / 4) * outPlane);
          kernels.shuffle(before, x, outs / 4, rows, columns, n, outPlane);
          x = before;
          rows *= 2;
          columns *= 2;
        }
      }
    }
    return x;
  };

  /** Half the natural logarithm of the steps of all latents, without scales. */
  const widthsOf = ({ levels }, classes, cells) => {
    const widths = new Float64Array(levels.length);
    for (let i = 0; i < widths.length; i++) {
      const level = Math.max(levels[i], COARSEST + classes[i]);
      widths[i] = (UNIT_PLANE - level) * (Math.LN2 / 8) - logScales[Math.floor(i / cells)];
    }
    for (let start = 0; start < first * cells; start += cells) { // frequencies have no cell
      const row = widths.subarray(start, start + cells);
      row.fill(row.reduce((sum, width) => sum + width) / cells);
    }
    return widths;
  };

  return (layer, planes, classes, grid) => {
    const { rows, columns } = grid;
    const cells = rows * columns, n = planeSize(cells);
    const values = latentsOf(weights, layer, grid), widths = widthsOf(layer, classes, cells);
    const [inputs, drawn, base] = [2 * channels, channels, SAMPLES].map((count) => allocate(count * n));
    const { f } = kernels;
    values.forEach((value, i) => {
      const c = Math.floor(i / cells), to = c * n + (i % cells);
      f[inputs + to] = value;
      f[inputs + channels * n + to] = widths[i];
      f[drawn + to] = value / (1 + Math.exp(-gain[c] - gainSlope[c] * widths[i]));
    });
    kernels.conv(base, drawn, klt, SAMPLES, zeros, SAMPLES, channels, n, 0, -Infinity);
    const added = network(inputs, rows, columns);
    const gate = Math.min(1, 2 ** ((UNIT_PLANE - (planes - 1)) / 4 + NOMINAL));
    const samples = joinCells(weights, grid, (cell, k) => kernels.f[base + k * n + cell]);
    const size = samples.length / 3, outPlane = planeSize(size);
    return samples.map((sample, i) => sample + gate * kernels.f[added + Math.floor(i / size) * outPlane + (i % size)]);
  };
}
