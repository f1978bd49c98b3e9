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
 * @returns {(rows: number, columns: number) => {chances: Function, learn: Function}} what the
 *   chances of one picture follow from: `chances(step)` are two arrays, of 65536, that each symbol
 *   of a step is not 0, and that it is +1 if it is not 0, in the order of channels and then of
 *   cells; `learn(step, states)` takes in the states of all channels behind a step. Steps come in
 *   their order. It keeps memory, which its caller borrows.
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
    const sums = take(hidden * n);
    const predicted = take(channels * n);
    const units = take(hidden * n);
    const middle = take(second * n);
    const logits = take(channels * n);
    let plane = 0;

    /** Add what a feature of some channels weighs: in the prediction, or in the first layer. */
    const add = (feature, table, first, end) => {
      const predicts = feature % OWN === VALUE;
      const [out, outs] = predicts ? [predicted, channels] : [sums, hidden];
      const around = feature < OWN ? 0 : predicts ? 1 : 2;
      const row = ((predicts ? 0 : feature % OWN) + around) * channels + first;
      const w = (predicts ? predictor : table) + row * outs;
      const x = features + (feature * channels + first) * n;
      kernels.mix(out, x, w, outs, zeros, outs, end - first, n, 1, ANY);
    };
    /** No group is refined yet in a new plane. */
    const enter = (step) => {
      if (step.plane === plane) return;
      plane = step.plane;
      kernels.f.fill(0, sums, sums + hidden * n);
      for (const feature of [0, 1, OWN, OWN + 1]) add(feature, a, 0, channels);
    };

    return {
      chances(step) {
        enter(step);
        const { group, first, end } = step;
        const bias = b1 + (plane * groups.length + group) * hidden;
        kernels.squash(units, sums, bias, hidden, n, 2 ** -shifts[0]);
        kernels.mix(middle, units, m, second, bm + group * second, second, hidden, n, 0, ANY);
        kernels.squash(middle, middle, zeros, second, n, 2 ** -shifts[1]);
        return [0, 1].map((sign) => {
          const row = sign * channels + first;
          const bias = b2 + 2 * plane * channels + row;
          const width = end - first;
          const stride = 2 * channels;
          kernels.mix(logits, units, w2 + row, stride, bias, width, hidden, n, 0, ANY);
          kernels.mix(logits, middle, w3 + row, stride, zeros, width, second, n, 1, ANY);
          const { f } = kernels;
          const chances = new Uint16Array(step.channels.length * cells);
          step.channels.forEach((c, i) => {
            // A channel looks at itself and its neighbours directly: [|s| > 0,] |s| or s, their sum.
            const [some, self, others] = [0, 1, 2].map((k) => own[(2 * sign + k) * channels + c]);
            const far = gain[(2 * plane + sign) * channels + c];
            const here = features + (sign * channels + c) * n;
            const beside = here + OWN * channels * n;
            for (let cell = 0; cell < cells; cell++) {
              const s = f[here + cell];
              const off = f[predicted + c * n + cell] >> weights.predictionShifts[plane];
              const limited = Math.min(Math.max(off, -OFF), OFF);
              const sum =
                f[logits + (c - first) * n + cell] + self * s + others * f[beside + cell] +
                (sign ? far * limited : far * Math.abs(limited) + (s ? some : 0));
              const entry = Math.min(Math.max((sum >> shifts[2]) + MIDDLE, 0), 2 * MIDDLE - 1);
              chances[i * cells + cell] = probability[entry];
            }
          });
          return chances;
        });
      },

      learn(step, states) {
        enter(step);
        const { first, end } = step;
        const { f } = kernels;
        const unit = 3 ** (weights.finest - plane - 1);
        for (let feature = 0; feature < FEATURES; feature++) {
          const from = features + (feature * channels + first) * n;
          for (let p = from; p < from + (end - first) * n; p++) f[p] = -f[p];
          add(feature, a, first, end);
          for (let c = first; c < end; c++) {
            const to = features + (feature * channels + c) * n;
            const known = to - OWN * channels * n; // what the neighbours' sum is of
            for (let y = 0, cell = 0; y < rows; y++) {
              for (let x = 0; x < columns; x++, cell++) {
                const k = known + cell;
                if (feature < OWN) {
                  const state = states[c * cells + cell];
                  const s = Math.min(Math.max(state, -CLIP), CLIP);
                  f[to + cell] = feature === VALUE ? state * unit : feature ? s : Math.abs(s);
                } else {
                  f[to + cell] =
                    (y ? f[k - columns] : 0) + (y < rows - 1 ? f[k + columns] : 0) +
                    (x ? f[k - 1] : 0) + (x < columns - 1 ? f[k + 1] : 0);
                }
              }
            }
          }
          add(feature, b, first, end);
        }
      },
    };
  };
}
