/**
 * The synthesis network: latents to samples.
 *
 *     values ----------> linear map of a cell to its samples ----------------------------> +
 *     values, levels --> stage --> twice the side --> stage ... --> 3 x 3 convolution ---> +
 *
 * A stage is some blocks of `x + pointwise(relu(depthwise(x)))`. The model lists its convolutions and
 * how to connect them; the first is the linear map. docs/javascript.md, "Synthesis".
 */

import { planeSize } from "./memory.js";

const [UPSAMPLE, DEPTHWISE, RESIDUAL] = [1, 2, 3]; // kinds of convolutions; 0 is a plain one

/**
 * @param {object} weights what `readWeights` returns
 * @param {object} memory what `createMemory` returns
 * @returns {(latents: {states: Int32Array, levels: Uint8Array},
 *   grid: {rows: number, columns: number}) => (color: number, y: number, x: number) => number}
 *   computes a picture and returns a function for its samples, in [-1, 1] or slightly outside. It
 *   allocates memory that its caller frees.
 */
export function createSynthesis(weights, { kernels, allocate, storeFloats }) {
  const { planes, baseStep, valueScale, levelScale, levelOffset, detail } = weights;
  const [linear, ...layers] = weights.layers.map((layer) => ({
    ...layer,
    w: storeFloats(layer.weights),
    bias: storeFloats(layer.bias),
    minimum: layer.relu ? 0 : -Infinity,
  }));
  const intervals = Float32Array.from({ length: planes + 1 }, (_, level) => baseStep / 3 ** level);

  /** A 1 x 1 convolution into `out`, or added to it. */
  const pointwise = ({ w, bias, outs, ins, minimum }, x, n, out, accumulate) => {
    kernels.conv(out, x, w, outs, bias, outs, ins, n, accumulate, minimum);
    return out;
  };

  const network = (x, rows, columns) => {
    let before = x; // what a residual block is added to
    for (const layer of layers) {
      const { kind, outs, ins, taps, w, bias, minimum } = layer;
      const n = planeSize(rows * columns);
      if (taps > 1) {
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

  /** Planes of all values, then of all levels, scaled. */
  const createInputs = ({ states, levels }, cells, n) => {
    const channels = states.length / cells;
    const inputs = allocate(2 * channels * n);
    const { f } = kernels;
    states.forEach((state, i) => {
      const to = inputs + Math.floor(i / cells) * n + (i % cells);
      f[to] = Math.fround(state * intervals[levels[i]]) * valueScale;
      f[to + channels * n] = levels[i] * levelScale + levelOffset;
    });
    return inputs;
  };

  return (latents, { rows, columns }) => {
    const n = planeSize(rows * columns);
    const inputs = createInputs(latents, rows * columns, n);
    const base = pointwise(linear, inputs, n, allocate(linear.outs * n), 0);
    const refinement = layers.length ? network(inputs, rows, columns) : 0;
    const width = columns * detail;
    const outPlane = planeSize(rows * detail * width);
    return (color, y, x) => {
      const { f } = kernels;
      const plane = (color * detail + (y % detail)) * detail + (x % detail);
      const cell = Math.floor(y / detail) * columns + Math.floor(x / detail);
      return (
        f[base + plane * n + cell] + (refinement && f[refinement + color * outPlane + y * width + x])
      );
    };
  };
}
