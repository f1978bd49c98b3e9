/**
 * Integer context model: the probabilities of a step's symbols before the step is decoded.
 *
 * A small network with integer weights sees all latents of a cell and of its four neighbors. All sums
 * stay below 2^24 and a shift is a product with a power of two, so float32 and float64 hold every
 * value exactly. docs/bitstream.md, "Context model of format 7".
 */

import { planeSize } from "./memory.js";

const CLIP = 4; // larger states count as this one
const MAX_RESIDUAL = 127; // of a value against its prediction
// Features of a channel: |s|, s and v of docs/bitstream.md, then the sum of each over the neighbors.
const OWN = 3;
const FEATURES = 2 * OWN;
const VALUE = 2;
const CENTER = 1024; // of the probability table
const UNLIMITED = -Infinity;
const TABLES = ["a", "b", "predictor", "m", "w2", "w3", "b1", "bm", "b2"];

/**
 * @param {object} weights what `readWeights` returns
 * @param {object} memory what `createMemory` returns
 * @returns {(rows: number, columns: number) => (step: object, states: Int32Array) => Uint16Array[]}
 *   creates the context of one picture's grid of cells. Called for each step in coding order, with
 *   the states of all channels before the step, the context returns two arrays of probabilities in
 *   units of 1/65536: that each symbol is not 0, and that it is +1 if it is not 0, in the order of
 *   channels, then cells. It allocates memory that its caller frees.
 */
export function createContextModel(weights, { kernels, allocate, storeFloats }) {
  const { starts, groups, hidden, second, shifts, own, gain, probability } = weights;
  const channels = starts.length;
  const [a, b, predictor, m, w2, w3, b1, bm, b2] = TABLES.map((name) => storeFloats(weights[name]));
  const zeros = allocate(hidden + second + channels);

  return (rows, columns) => {
    const cells = rows * columns;
    const n = planeSize(cells);
    const features = allocate(FEATURES * channels * n);
    const [sums, units] = [allocate(hidden * n), allocate(hidden * n)];
    const middle = allocate(second * n);
    const [predicted, logits] = [allocate(channels * n), allocate(channels * n)];
    let before; // the step whose symbols are not in the sums yet

    /** Add the product of a feature of some channels to the prediction or to the first layer. */
    const add = (feature, table, first, ins) => {
      const predicts = feature % OWN === VALUE;
      const [out, outs] = predicts ? [predicted, channels] : [sums, hidden];
      const around = feature < OWN ? 0 : predicts ? 1 : 2;
      const row = ((predicts ? 0 : feature % OWN) + around) * channels + first;
      const w = (predicts ? predictor : table) + row * outs;
      const x = features + (feature * channels + first) * n;
      kernels.conv(out, x, w, outs, zeros, outs, ins, n, 1, UNLIMITED);
    };

    /** Add the symbols of a step. In a new plane no group is refined yet, and the sums start over. */
    const update = ({ plane, channels: coded }, states, newPlane) => {
      const { f } = kernels;
      const [first] = coded;
      const ins = coded.at(-1) + 1 - first; // all features of a channel that starts later are 0
      const unit = 3 ** (weights.finest - plane - 1);
      for (let feature = 0; feature < FEATURES; feature++) {
        const counts = !newPlane || feature % OWN === VALUE;
        const from = features + (feature * channels + first) * n;
        if (counts) {
          for (let p = from; p < from + ins * n; p++) f[p] = -f[p];
          add(feature, a, first, ins);
        }
        for (let i = 0; i < ins * cells; i++) {
          const cell = i % cells;
          const to = from + ((i - cell) / cells) * n + cell;
          const k = to - OWN * channels * n; // the feature that is summed over the neighbors
          const state = states[first * cells + i];
          const s = Math.min(Math.max(state, -CLIP), CLIP);
          f[to] = feature === 0 ? Math.abs(s) : feature === 1 ? s : feature === VALUE ? state * unit :
            (cell < columns ? 0 : f[k - columns]) + (cell + columns < cells ? f[k + columns] : 0) +
            (cell % columns ? f[k - 1] : 0) + ((cell + 1) % columns ? f[k + 1] : 0);
        }
        if (counts) add(feature, b, first, ins);
      }
      if (newPlane) {
        f.fill(0, sums, sums + hidden * n);
        for (const feature of [0, OWN]) add(feature, a, 0, 2 * channels); // and the feature after it
      }
    };

    return (step, states) => {
      const { plane, groupIndex, channels: coded } = step;
      const [first] = coded;
      const width = coded.at(-1) + 1 - first;
      if (before) update(before, states, plane > before.plane);
      before = step;
      const bias = b1 + (plane * groups.length + groupIndex) * hidden;
      kernels.activate(units, sums, bias, hidden, n, 2 ** -shifts[0]);
      kernels.conv(middle, units, m, second, bm + groupIndex * second, second, hidden, n, 0, UNLIMITED);
      kernels.activate(middle, middle, zeros, second, n, 2 ** -shifts[1]);
      return [0, 1].map((sign) => {
        const row = sign * channels + first;
        const stride = 2 * channels;
        const bias = b2 + plane * stride + row;
        kernels.conv(logits, units, w2 + row, stride, bias, width, hidden, n, 0, UNLIMITED);
        kernels.conv(logits, middle, w3 + row, stride, zeros, width, second, n, 1, UNLIMITED);
        const { f } = kernels;
        const probabilities = new Uint16Array(coded.length * cells);
        coded.forEach((c, i) => {
          // Direct weights of the channel's own features: [|s| > 0,] |s| or s, and the neighbors' sum.
          const [any, self, neighbors] = [0, 1, 2].map((k) => own[(2 * sign + k) * channels + c]);
          const residualGain = gain[plane * stride + sign * channels + c];
          const here = features + (sign * channels + c) * n;
          for (let cell = 0; cell < cells; cell++) {
            const s = f[here + cell];
            const sum = f[here + OWN * channels * n + cell];
            const residual = f[predicted + c * n + cell] >> weights.predictionShifts[plane];
            const clipped = Math.min(Math.max(residual, -MAX_RESIDUAL), MAX_RESIDUAL);
            const logit =
              f[logits + (c - first) * n + cell] + self * s + neighbors * sum +
              (sign ? residualGain * clipped : residualGain * Math.abs(clipped) + (s ? any : 0));
            const entry = Math.min(Math.max((logit >> shifts[2]) + CENTER, 0), 2 * CENTER - 1);
            probabilities[i * cells + cell] = probability[entry];
          }
        });
        return probabilities;
      });
    };
  };
}
