/**
 * Integer context model: chances of a step's symbols, before it is read.
 *
 * A small network with integer weights looks at all latents of a cell and of its four neighbours.
 * All sums stay below 2^24 and a shift is a product with a power of two, so float32 and float64
 * hold every value exactly. docs/bitstream.md, "Context model of bitstream 7".
 */

import { planeOf } from "./memory.js";

const CLIP = 4; // larger states look like this one
const OFF = 127; // how far off a prediction says that a value is, at most
// Of every channel: |s|, s and v of docs/bitstream.md, then the sums of each over the neighbours.
const OWN = 3;
const FEATURES = 2 * OWN;
const VALUE = 2;
const MIDDLE = 1024; // of the table of chances
const ANY = -Infinity;
const TABLES = ["a", "b", "predictor", "m", "w2", "w3", "b1", "bm", "b2"];

/**
 * The context model of some tables; it is told the grid of a picture's cells.
 *
 * @param {object} weights what `readWeights` gives
 * @param {object} memory what `memoryOf` gives
 * @returns {(rows: number, columns: number) => (step: object, states: Int32Array) => Uint16Array[]}
 *   of one picture, what the chances of a step follow from: the step, and the states of all channels
 *   before it. They are two arrays, of 65536: that each symbol is not 0, and that it is +1 if it is
 *   not 0, in the order of channels and then of cells. Steps come in their order. It keeps memory,
 *   which its caller borrows.
 */
export function contextModel(weights, { kernels, take, place }) {
  const { starts, groups, hidden, second, shifts, own, gain, probability } = weights;
  const channels = starts.length;
  const [a, b, predictor, m, w2, w3, b1, bm, b2] = TABLES.map((name) => place(weights[name]));
  const zeros = take(hidden + second + channels);

  return (rows, columns) => {
    const cells = rows * columns;
    const n = planeOf(cells);
    const features = take(FEATURES * channels * n);
    const [sums, units] = [take(hidden * n), take(hidden * n)];
    const middle = take(second * n);
    const [predicted, logits] = [take(channels * n), take(channels * n)];
    let before; // the step whose symbols `learn` has not seen yet

    /** Add what a feature of some channels weighs: in the prediction, or in the first layer. */
    const add = (feature, table, first, ins) => {
      const predicts = feature % OWN === VALUE;
      const [out, outs] = predicts ? [predicted, channels] : [sums, hidden];
      const around = feature < OWN ? 0 : predicts ? 1 : 2;
      const row = ((predicts ? 0 : feature % OWN) + around) * channels + first;
      const w = (predicts ? predictor : table) + row * outs;
      const x = features + (feature * channels + first) * n;
      kernels.mix(out, x, w, outs, zeros, outs, ins, n, 1, ANY);
    };

    /** Take in what a step told. No group is refined yet in a new plane, where sums begin again. */
    const learn = ({ plane, channels: begun }, states, entering) => {
      const { f } = kernels;
      const [first] = begun;
      const ins = begun.at(-1) + 1 - first; // of one that has not begun, all features are 0
      const unit = 3 ** (weights.finest - plane - 1);
      for (let feature = 0; feature < FEATURES; feature++) {
        const counts = !entering || feature % OWN === VALUE;
        const from = features + (feature * channels + first) * n;
        if (counts) {
          for (let p = from; p < from + ins * n; p++) f[p] = -f[p];
          add(feature, a, first, ins);
        }
        for (let i = 0; i < ins * cells; i++) {
          const cell = i % cells;
          const to = from + ((i - cell) / cells) * n + cell;
          const k = to - OWN * channels * n; // what the neighbours' sum is of
          const state = states[first * cells + i];
          const s = Math.min(Math.max(state, -CLIP), CLIP);
          f[to] = feature === 0 ? Math.abs(s) : feature === 1 ? s : feature === VALUE ? state * unit :
            (cell < columns ? 0 : f[k - columns]) + (cell + columns < cells ? f[k + columns] : 0) +
            (cell % columns ? f[k - 1] : 0) + ((cell + 1) % columns ? f[k + 1] : 0);
        }
        if (counts) add(feature, b, first, ins);
      }
      if (entering) {
        f.fill(0, sums, sums + hidden * n);
        for (const feature of [0, OWN]) add(feature, a, 0, 2 * channels); // and the one behind it
      }
    };

    return (step, states) => {
      const { plane, group, channels: begun } = step;
      const [first] = begun;
      const width = begun.at(-1) + 1 - first;
      if (before) learn(before, states, plane > before.plane);
      before = step;
      const bias = b1 + (plane * groups.length + group) * hidden;
      kernels.squash(units, sums, bias, hidden, n, 2 ** -shifts[0]);
      kernels.mix(middle, units, m, second, bm + group * second, second, hidden, n, 0, ANY);
      kernels.squash(middle, middle, zeros, second, n, 2 ** -shifts[1]);
      return [0, 1].map((sign) => {
        const row = sign * channels + first;
        const stride = 2 * channels;
        const bias = b2 + plane * stride + row;
        kernels.mix(logits, units, w2 + row, stride, bias, width, hidden, n, 0, ANY);
        kernels.mix(logits, middle, w3 + row, stride, zeros, width, second, n, 1, ANY);
        const { f } = kernels;
        const chances = new Uint16Array(begun.length * cells);
        begun.forEach((c, i) => {
          // A channel looks at itself and its neighbours directly: [|s| > 0,] |s| or s, their sum.
          const [some, self, others] = [0, 1, 2].map((k) => own[(2 * sign + k) * channels + c]);
          const far = gain[plane * stride + sign * channels + c];
          const here = features + (sign * channels + c) * n;
          for (let cell = 0; cell < cells; cell++) {
            const s = f[here + cell];
            const beside = f[here + OWN * channels * n + cell];
            const off = f[predicted + c * n + cell] >> weights.predictionShifts[plane];
            const limited = Math.min(Math.max(off, -OFF), OFF);
            const sum =
              f[logits + (c - first) * n + cell] + self * s + others * beside +
              (sign ? far * limited : far * Math.abs(limited) + (s ? some : 0));
            const entry = Math.min(Math.max((sum >> shifts[2]) + MIDDLE, 0), 2 * MIDDLE - 1);
            chances[i * cells + cell] = probability[entry];
          }
        });
        return chances;
      });
    };
  };
}
