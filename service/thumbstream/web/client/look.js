/**
 * The first look of format 8: the symbols of group 0, from a few integer tables.
 *
 * Group 0 has the frequencies of the whole picture. All of this is integer arithmetic, and the same as
 * lapped/look.py and lapped/probabilities.py. docs/bitstream.md, "Format 8".
 */

import { UNKNOWN, createRangeDecoder } from "./range_coder.js";

const CLASSES = 4;
export const SCALES = 48;
const UNIT_SCALE = 28;
const OFFSETS = 32; // the largest distance between mean and interval that makes a difference
const HALVING_KEY = 1024; // of a symbol that halves an interval
const ONE = 65536;
const NODES = 6;
const LOW = 4; // frequencies below this count for the activity of a channel
const START = -320; // scale in sixteenths at which a coefficient starts
export const MAX_VALUE = 1023;
const AGES = [64, 76, 91, 108]; // 64 times the ratio of steps of planes 0 to 3 apart
const INDICES = 2 ** 20; // more than the symbols of a step

export const clip = (x, low, high) => (x < low ? low : x > high ? high : x);
const round = (x) => Math.floor(x + 0.5);
export const remainder = (x) => x & (CLASSES - 1);

/** The last plane up to `plane` of a class. */
export const lastPlane = (plane, class_) => plane - remainder(plane - class_);

/** Value of a state in eighths of the step of a plane `age` planes after its level. */
export function inSteps(q, age) {
  const size = q && ((16 * Math.abs(q) + 7) * AGES[remainder(age)]) >> (7 - (age >> 2));
  return q < 0 ? -size : size;
}

/** Logarithm of the magnitude of a value: 0 to 15. */
export function magnitude(x) {
  const y = Math.min(Math.abs(x), 119) + 8;
  const n = 31 - Math.clz32(y);
  return 4 * (n - 3) + ((y >> (n - 2)) & 3);
}

/** Function of a scale and a number up to 64, whose results are kept. */
function cached(compute) {
  const results = [];
  return (scale, x) => (results[scale * 128 + x] ??= compute(scale, x));
}

/** `(low, high)` to the probability of this interval, of a logistic distribution around 0. */
function massOf(scale) {
  const s = 2 ** ((scale - UNIT_SCALE) / 8);
  const tail = (x) => 1 / (1 + Math.exp(Math.abs(x) / s));
  return (low, high) => low >= 0 ? tail(low) - tail(high)
    : high <= 0 ? tail(high) - tail(low) : 1 - tail(low) - tail(high);
}

const integer = (p) => clip(round(ONE * p), 1, ONE - 1);

/** `[significant, positive]` of a latent that is 0; `x` is the mean plus `OFFSETS`. */
const zeroProbabilities = cached((scale, x) => {
  const mean = x - OFFSETS;
  const a = Math.abs(mean) / 8;
  const mass = massOf(scale);
  const [above, below, zero] = [mass(1 - a, 2 - a), mass(-2 - a, -1 - a), mass(-1 - a, 1 - a)];
  const positive = integer(above / (above + below));
  return [integer((above + below) / (zero + above + below)), mean < 0 ? ONE - positive : positive];
});

/** Probability of the half that is farther from the mean; `x` is the distance in quarters. */
const farHalf = cached((scale, x) => {
  const mass = massOf(scale);
  return integer(mass(x / 4, x / 4 + 1) / mass(x / 4 - 1, x / 4 + 1));
});

/**
 * @param {number} latent its index
 * @param {number} state before the symbol
 * @param {number} scale 0 to 47
 * @param {number} mean in eighths of the step
 * @returns {{latent: number, probabilities: number[], key: number}} probabilities of the one or two
 *   decisions in units of 1/65536, and the key of the coding order, the largest first
 */
export function symbolOf(latent, state, scale, mean) {
  if (!state) {
    const probabilities = zeroProbabilities(scale, clip(mean, -OFFSETS, OFFSETS) + OFFSETS);
    return { latent, probabilities, key: probabilities[0] };
  }
  const off = 8 * (2 * Math.abs(state) + 1) - Math.sign(state) * mean;
  const upper = farHalf(scale, Math.min(Math.abs(off) >> 1, OFFSETS));
  return { latent, probabilities: [off < 0 ? ONE - upper : upper], key: HALVING_KEY };
}

/** Symbols in coding order: the largest key first, equal keys as they are. */
export function inOrder(symbols) {
  const keys = new Float64Array(symbols.length);
  for (let i = 0; i < keys.length; i++) keys[i] = i - symbols[i].key * INDICES;
  keys.sort();
  const sorted = [];
  for (let i = 0; i < keys.length; i++) sorted.push(symbols[keys[i] & (INDICES - 1)]);
  return sorted;
}

/** By frequency: weights of the nodes of a table of scales, in sixteenths. */
const nodeWeights = (count) => Array.from({ length: count }, (_, f) =>
  Array.from({ length: NODES }, (_, node) =>
    Math.max(0, 16 - Math.abs(round(16 * Math.log2(1 + f)) - 16 * node))));

/**
 * @param {object} tables of the model: `first` and `look`, and the arrays of look.npz
 * @param {{rows: number, columns: number}} grid of cells
 * @returns {{classes: Uint8Array, starts: Int32Array, symbols: (states: Int32Array, plane: number) =>
 *   object[]}} classes and starts of the coefficients `[channel * cells + u * columns + v]`, and the
 *   symbols of a plane in coding order, given the states before it
 */
export function createLook({ first, scale, slope, activity, taps, valueTaps }, { rows, columns }) {
  const cells = rows * columns;
  const size = first * cells;
  const starts = new Int32Array(size), classes = new Uint8Array(size);
  const [down, across] = [nodeWeights(rows), nodeWeights(columns)];
  const byClass = [[], [], [], []];

  /** `[source, factor]` of the taps of a coefficient, one after the other. */
  const sourcesOf = (list, u, v) => {
    const found = [];
    for (const tap of list) {
      const row = u + tap[2], column = v + tap[3];
      if (row < 0 || row >= rows || column < 0 || column >= columns) continue;
      found.push(tap[1] * cells + row * columns + column, tap.length < 6 ? tap[4]
        : 64 * tap[4] + tap[5] * Math.floor((258 + u + v) / (2 * (2 + u + v))));
    }
    return found;
  };

  for (let c = 0, i = 0; c < first; c++) {
    const [scaleTaps, meanTaps] = [taps, valueTaps].map((list) => list.filter((tap) => tap[0] === c));
    for (let u = 0; u < rows; u++) {
      for (let v = 0; v < columns; v++, i++) {
        let base = 0;
        for (let j = 0; j < NODES * NODES; j++) {
          const weight = down[u][Math.floor(j / NODES)] * across[v][j % NODES];
          base += weight * scale[c * NODES * NODES + j];
        }
        base = (base >> 4) + round(64 * Math.log2(cells)) - 256;
        classes[i] = remainder(c + 3 * u + 2 * v);
        const reached = Math.max(0, Math.ceil((START - base) / 32));
        starts[i] = reached + remainder(classes[i] - reached);
        byClass[classes[i]].push([i, c, base, sourcesOf(scaleTaps, u, v), sourcesOf(meanTaps, u, v)]);
      }
    }
  }
  const total = (list, values) => {
    let sum = 0;
    for (let i = 0; i < list.length; i += 2) sum += values[list[i]] * list[i + 1];
    return sum;
  };

  // Of the last call: many small arrays would cost more time than all of the arithmetic.
  const x = new Int32Array(size), m = new Int32Array(size);
  const sums = new Int32Array(first), active = new Int32Array(first);

  const symbols = (states, plane) => {
    sums.fill(0);
    for (let i = 0; i < size; i++) {
      x[i] = m[i] = 0;
      if (!states[i]) continue;
      x[i] = clip(inSteps(states[i], 1 + remainder(plane - 1 - classes[i])), -MAX_VALUE, MAX_VALUE);
      m[i] = magnitude(x[i]);
      const cell = i % cells;
      if (cell < LOW * columns && cell % columns < LOW) sums[(i - cell) / cells] += m[i];
    }
    for (let c = 0; c < first; c++) {
      let sum = 0;
      for (let e = 0; e < first; e++) sum += activity[c * first + e] * sums[e];
      active[c] = sum >> 2;
    }
    const found = [];
    for (const [i, c, base, scaleTaps, meanTaps] of byClass[remainder(plane)]) {
      if (starts[i] > plane) continue;
      const sum = 4 * base + (128 + slope[c]) * plane + active[c] + total(scaleTaps, m);
      found.push(symbolOf(i, states[i], clip(sum >> 6, 0, SCALES - 1), total(meanTaps, x) >> 12));
    }
    return inOrder(found);
  };
  return { classes, starts, symbols };
}

/**
 * Decode symbols of one plane and refine the states.
 *
 * @param {object[]} symbols what `symbolOf` returns, in coding order
 * @param {{states: Int32Array, levels: Int32Array}} layer
 * @param {number} plane
 * @param {(probability: number) => number} decode what `createRangeDecoder` returns
 * @returns {number} how many of the symbols the bytes determine
 */
export function decodeStep(symbols, { states, levels }, plane, decode) {
  let count = 0;
  for (const { latent, probabilities } of symbols) {
    const state = states[latent];
    const digit = decode(probabilities[0]);
    const positive = digit > 0 && !state ? decode(probabilities[1]) : digit;
    if (positive === UNKNOWN) break;
    states[latent] = state ? 2 * state + Math.sign(state) * digit : digit && 2 * positive - 1;
    levels[latent] = plane;
    count++;
  }
  return count;
}

/**
 * The first look of a stream: what its bytes determine of group 0 before any other group.
 *
 * @param {object} tables as above
 * @param {Uint8Array} stream
 * @param {number} position index of the first byte after the header
 * @param {number} layers 1, or 2 with alpha
 * @param {{rows: number, columns: number}} grid of cells
 * @param {object} look what `createLook` returns
 * @returns {{layers: {states: Int32Array, levels: Int32Array}[], decodedCount: number}} states of each
 *   layer with the plane that each is known to, and how many symbols the bytes determine
 */
export function decodeLook(tables, stream, position, layers, grid, look = createLook(tables, grid)) {
  const decode = createRangeDecoder(stream, position);
  const size = look.starts.length;
  const found = Array.from({ length: layers }, () => ({
    states: new Int32Array(size), levels: new Int32Array(size),
  }));
  let decodedCount = 0;
  for (let plane = 0; plane < tables.look; plane++) {
    const steps = found.map(({ states }) => look.symbols(states, plane));
    for (const [layer, symbols] of steps.entries()) {
      const known = decodeStep(symbols, found[layer], plane, decode);
      decodedCount += known;
      if (known < symbols.length) return { layers: found, decodedCount };
    }
  }
  return { layers: found, decodedCount };
}
