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
 *   grid: {rows: number, columns: number}) => (colour: number, y: number, x: number) => number} what
 *   draws a picture, and then tells its samples, in [-1, 1] or slightly outside. It keeps memory,
 *   which its caller borrows
 */
export function synthesisOf(weights, { kernels, take, place }) {
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
        const apart = kind === APART;
        const planes = apart ? outs : ins;
        const padded = take(planes * (rows + 2) * (columns + 2));
        kernels.pad(padded, x, planes, rows, columns, n);
        x = take(outs * n);
        kernels.mix(x, padded, w, taps * outs, bias, outs, ins, n, 0, least, columns, rows, apart);
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

  return (latents, { rows, columns }) => {
    const n = planeOf(rows * columns);
    const inputs = inputsOf(latents, rows * columns, n);
    const cells = mix(linear, inputs, n, take(linear.outs * n), 0);
    const drawn = layers.length ? net(inputs, rows, columns) : 0;
    const width = columns * detail;
    const wide = planeOf(rows * detail * width);
    return (colour, y, x) => {
      const { f } = kernels;
      const place = (colour * detail + (y % detail)) * detail + (x % detail);
      const cell = Math.floor(y / detail) * columns + Math.floor(x / detail);
      return f[cells + place * n + cell] + (drawn && f[drawn + colour * wide + y * width + x]);
    };
  };
}
