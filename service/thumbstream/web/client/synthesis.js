/**
 * Values and levels of latents to samples.
 *
 *     values ----------> linear map of a cell to its samples ----------------------------> +
 *     values, levels --> stage --> twice the side --> stage ... --> 3 x 3 convolution ---> +
 *
 * A stage is some blocks of `x + pointwise(relu(depthwise(x)))`. The published model lists its
 * convolutions, and what to do with each; the first is the linear map. docs/client.md, "Drawing".
 */

import { planeOf } from "./memory.js";

const COLOURS = 3;
const [UP, APART, ADD] = [1, 2, 3]; // kinds of convolutions; 0 goes on with what it gives

/**
 * The synthesis network of a model.
 *
 * @param {object} weights what `readWeights` gives
 * @param {object} memory what `memoryOf` gives
 * @returns {(latents: {states: Int32Array, levels: Uint8Array},
 *   grid: {rows: number, columns: number}) => Float32Array} what draws whole cells: three planes of
 *   samples, in [-1, 1] or slightly outside
 */
export function synthesisOf(weights, { kernels, take, place, borrow }) {
  const { planes, baseStep, valueScale, levelScale, levelOffset, detail } = weights;
  const [linear, ...layers] = weights.layers.map((layer) => ({
    ...layer,
    w: place(layer.weights),
    bias: place(layer.bias),
    least: layer.relu ? 0 : -Infinity,
  }));
  const intervals = Float32Array.from({ length: planes + 1 }, (_, level) => baseStep / 3 ** level);

  /** A 1 x 1 convolution into `out`, or, with `keep`, added to what is there. */
  const mix = ({ w, bias, outs, ins, least }, x, n, out, keep) => {
    kernels.mix(out, x, w, outs, bias, outs, ins, n, keep, least);
    return out;
  };

  const net = (x, rows, columns) => {
    let before = x; // what a block is added to
    for (const layer of layers) {
      const { kind, outs, ins, taps, w, bias, least } = layer;
      const n = planeOf(rows * columns);
      if (taps > 1) {
        const planes = kind === APART ? outs : ins;
        const padded = take(planes * (rows + 2) * (columns + 2));
        const out = take(outs * n);
        kernels.pad(padded, x, planes, rows, columns, n);
        const apart = kind === APART ? 1 : 0;
        kernels.conv3(out, padded, w, bias, outs, ins, rows, columns, n, apart, least);
        x = out;
      } else if (kind === ADD) {
        x = before = mix(layer, x, n, before, 1);
      } else {
        x = before = mix(layer, x, n, take(outs * n), 0);
        if (kind === UP) {
          const wide = planeOf(4 * rows * columns);
          before = take((outs / 4) * wide);
          kernels.shuffle(before, x, outs / 4, rows, columns, n, wide);
          x = before;
          rows *= 2;
          columns *= 2;
        }
      }
    }
    return x;
  };

  /** Planes of all values, then of what the network is told of their levels. */
  const inputsOf = ({ states, levels }, cells, n) => {
    const channels = states.length / cells;
    const inputs = take(2 * channels * n);
    const { f } = kernels;
    states.forEach((state, i) => {
      const to = inputs + Math.floor(i / cells) * n + (i % cells);
      f[to] = Math.fround(state * intervals[levels[i]]) * valueScale;
      f[to + channels * n] = levels[i] * levelScale + levelOffset;
    });
    return inputs;
  };

  return (latents, { rows, columns }) =>
    borrow(() => {
      const n = planeOf(rows * columns);
      const inputs = inputsOf(latents, rows * columns, n);
      const cells = mix(linear, inputs, n, take(linear.outs * n), 0);
      const drawn = layers.length ? net(inputs, rows, columns) : null;
      const [height, width] = [rows * detail, columns * detail];
      const wide = planeOf(height * width);
      const { f } = kernels;
      const samples = new Float32Array(COLOURS * height * width);
      for (let colour = 0, i = 0; colour < COLOURS; colour++) {
        for (let y = 0; y < height; y++) {
          const row = cells + Math.floor(y / detail) * columns;
          const place = (colour * detail + (y % detail)) * detail;
          for (let x = 0; x < width; x++, i++) {
            samples[i] = f[row + (place + (x % detail)) * n + Math.floor(x / detail)];
            if (drawn !== null) samples[i] += f[drawn + colour * wide + y * width + x];
          }
        }
      }
      return samples;
    });
}
