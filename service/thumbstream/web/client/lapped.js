/**
 * All symbols of format 8: which latents each step refines, and their probabilities.
 *
 * Decoder and encoder walk the same steps. Integer arithmetic, the same as lapped/context.py and
 * lapped/stream_model.py. docs/bitstream.md, "Format 8".
 */

import {
  MAX_VALUE, SCALES, clip, createLook, decodeStep, inSteps, magnitude, remainder, symbolOf,
} from "./look.js";
import { createRangeDecoder } from "./range_coder.js";

const FEATURES = 4;
const VALUES = 2;
const MAX_UNIT = 255;
const MAX_PREDICTION = 127;

/** The last plane up to `plane` of a class. */
const lastPlane = (plane, class_) => plane - remainder(plane - class_);

/** Integer cosines of the inverse transform over cells: row `k`, sample `i`. */
const integerCosines = (count) =>
  Float64Array.from({ length: count * count }, (_, at) => {
    const k = Math.floor(at / count), i = at % count;
    const cosine = Math.cos((Math.PI / (2 * count)) * k * (2 * i + 1));
    return Math.floor(4096 * Math.sqrt((k ? 2 : 1) / count) * cosine + 0.5);
  });

/**
 * @param {object} tables of the model: `groups`, `planes`, `look`, and all integer arrays
 * @param {{rows: number, columns: number}} grid of cells
 * @returns {{classes: Uint8Array, starts: Int32Array, steps: (layers: Int32Array[]) =>
 *   Generator<{plane: number, layer: number, symbols: object[]}>}} classes and starts of the latents
 *   `[channel * cells + cell]`, and the steps of a picture. The caller refines the states of a step
 *   before it takes the next one.
 */
export function createSteps(tables, grid) {
  const { groups, planes } = tables;
  const { rows, columns } = grid;
  const cells = rows * columns;
  const channels = groups.reduce((sum, count) => sum + count);
  const first = groups[0];
  const look = createLook({ ...tables, first }, grid);
  const channelOf = (i) => Math.floor(i / cells);
  const every = Uint8Array.from({ length: channels * cells });
  const classes = every.map((_, i) => look.classes[i] ?? remainder(channelOf(i)));
  const starts = Int32Array.from(every, (_, i) => look.starts[i] ?? tables.starts[channelOf(i) - first]);
  const parities = Uint8Array.from({ length: cells }, (_, cell) =>
    (Math.floor(cell / columns) + (cell % columns)) % 2);
  const halves = [0, 1].map((z) => [...parities.keys()].filter((cell) => parities[cell] === z));
  const predict = createContext(tables, grid, channels);
  const [down, across] = [integerCosines(rows), integerCosines(columns)];

  /** Values of coefficients in the cells, in steps of the plane. */
  const cellValues = (x, c) => {
    const result = new Int32Array(cells);
    for (let cell = 0; cell < cells; cell++) {
      const row = Math.floor(cell / columns), column = cell % columns;
      let sum = 2 ** 23;
      for (let i = 0; i < cells; i++) {
        const u = Math.floor(i / columns), v = i % columns;
        sum += down[u * rows + row] * across[v * columns + column] * x[c * cells + i];
      }
      result[cell] = Math.floor(sum / 2 ** 24);
    }
    return result;
  };

  /** All latents in steps of a plane, before its first step of a later group. */
  const valuesBefore = (states, plane) => {
    const x = Int32Array.from(states, (q, i) => {
      const reached = i < first * cells ? Math.max(plane, tables.look - 1) : plane - 1;
      return inSteps(q, plane - lastPlane(reached, classes[i]));
    });
    for (let c = 0; c < first; c++) x.set(cellValues(x, c), c * cells);
    return x;
  };

  function* lookSteps(layers, plane) {
    const steps = layers.map((states) => look.symbols(states, plane));
    for (const [layer, symbols] of steps.entries()) yield { plane, layer, symbols };
  }

  function* steps(layers) {
    for (let plane = 0; plane < tables.look; plane++) yield* lookSteps(layers, plane);
    for (let plane = 0; plane < planes; plane++) {
      if (plane >= tables.look) yield* lookSteps(layers, plane);
      const values = layers.map((states) => valuesBefore(states, plane));
      let end = first;
      for (const [group, size] of groups.entries()) {
        if (!group) continue;
        const begin = end;
        end += size;
        const coded = Array.from({ length: size }, (_, k) => begin + k).filter(
          (c) => remainder(c) === remainder(plane) && tables.starts[c - first] <= plane);
        if (!coded.length) continue;
        for (const parity of [0, 1]) {
          const places = halves[parity];
          if (!places.length) continue;
          const found = layers.map((states, layer) =>
            predict(values[layer], states, { plane, group, parity, coded, places }));
          for (const [layer, symbols] of found.entries()) yield { plane, layer, symbols };
          for (const [layer, states] of layers.entries()) {
            for (const c of coded) {
              for (const cell of places) {
                values[layer][c * cells + cell] = inSteps(states[c * cells + cell], 0);
              }
            }
          }
        }
      }
    }
  }
  return { classes, starts, steps };
}

/** `(x, states, step)` to the symbols of a step of a later group. */
function createContext(tables, { rows, columns }, channels) {
  const { groups, w1, b1, b1Plane, m, bm, w2, w3, b2, b2Plane, own, predictor, shifts } = tables;
  const cells = rows * columns, first = groups[0], coded = channels - first;
  const hidden = b1Plane.length, second = m.length / hidden;

  const around = (values, cell) =>
    (cell < columns ? 0 : values(cell - columns)) +
    (cell + columns < cells ? values(cell + columns) : 0) +
    (cell % columns ? values(cell - 1) : 0) + ((cell + 1) % columns ? values(cell + 1) : 0);

  /** Features and values of all channels in a cell. */
  const inputsOf = (x, cell) => {
    const features = new Int32Array(FEATURES * channels), values = new Int32Array(VALUES * channels);
    for (let c = 0; c < channels; c++) {
      const at = (i) => x[c * cells + i];
      const size = (i) => magnitude(at(i));
      const signed = (i) => Math.sign(at(i)) * size(i);
      const clipped = (i) => clip(at(i), -MAX_VALUE, MAX_VALUE);
      features.set([size(cell), signed(cell), around(size, cell), around(signed, cell)], FEATURES * c);
      values.set([clipped(cell), around(clipped, cell)], VALUES * c);
    }
    return { features, values };
  };

  /** Add the row `i` of a table, times a factor, to sums. */
  const addRow = (sums, table, i, factor) => {
    const { length } = sums;
    for (let j = 0; j < length; j++) sums[j] += factor * table[i * length + j];
  };

  return (x, states, { plane, group, parity, coded: latents, places }) => {
    const found = [];
    for (const cell of places) {
      const { features, values } = inputsOf(x, cell);
      const bias = ((remainder(plane) * (groups.length - 1) + group - 1) * 2 + parity) * hidden;
      const sums = Int32Array.from(b1Plane, (slope, j) => b1[bias + j] + plane * slope);
      features.forEach((feature, i) => feature && addRow(sums, w1, i, feature));
      const units = sums.map((sum) => clip(sum >> shifts[0], 0, MAX_UNIT));
      const middle = Int32Array.from({ length: second }, (_, n) => bm[(group - 1) * second + n]);
      units.forEach((unit, j) => unit && addRow(middle, m, j, unit));
      const deeper = middle.map((sum) => clip(sum >> shifts[1], 0, MAX_UNIT));
      const linear = new Float64Array(coded);
      values.forEach((value, i) => value && addRow(linear, predictor, i, value));
      for (const channel of latents) {
        const c = channel - first;
        const line = clip(Math.floor(linear[c] / 64), -MAX_VALUE, MAX_VALUE);
        const [scale, mean] = [0, 1].map((head) => {
          const row = head * coded + c;
          let sum = b2[(parity * 2 + head) * coded + c] + plane * b2Plane[row];
          for (let j = 0; j < hidden; j++) sum += w2[row * hidden + j] * units[j];
          for (let n = 0; n < second; n++) sum += w3[row * second + n] * deeper[n];
          return sum;
        });
        const size = scale + own[c] * features[FEATURES * channel] +
          own[coded + c] * features[FEATURES * channel + 2] +
          own[2 * coded + c] * Math.min(Math.abs(line), MAX_PREDICTION);
        const latent = channel * cells + cell;
        found.push(symbolOf(
          latent, states[latent], clip(size >> shifts[2], 0, SCALES - 1), line + (mean >> shifts[3]),
        ));
      }
    }
    return found.sort((a, b) => a.latent - b.latent);
  };
}

/** As `decodeLook`, but all groups; states and levels are `[channel * cells + cell]`. */
export function decodeLatents(tables, stream, position, layers, grid) {
  const { classes, steps } = createSteps(tables, grid);
  const decode = createRangeDecoder(stream, position);
  const found = Array.from({ length: layers }, () => ({
    states: new Int32Array(classes.length), levels: new Int32Array(classes.length),
  }));
  let decodedCount = 0;
  for (const { plane, layer, symbols } of steps(found.map(({ states }) => states))) {
    const known = decodeStep(symbols, found[layer], plane, decode);
    decodedCount += known;
    if (known < symbols.length) break;
  }
  return { layers: found, decodedCount };
}
