/**
 * The first look of format 8: the symbols of group 0, from a few integer tables.
 *
 * Group 0 has the frequencies of the whole picture. All of this is integer arithmetic, and the same as
 * lapped/look.py and lapped/probabilities.py. docs/bitstream.md, "Format 8".
 */

import { decodeAxis } from "./colors.js";
import { UNKNOWN, createRangeDecoder } from "./range_coder.js";

const CLASSES = 4;
export const SCALES = 48;
const UNIT_SCALE = 28;
const OFFSETS = 32; // the largest distance between mean and interval that makes a difference
const HALVING_KEY = -1024; // of a symbol that halves an interval
const MAX_LOGIT = 2839; // in 1/256: the probability 65535/65536
const ONE = 65536;
const OFFSET_INERTIA = 12 * ONE;
const FACTOR_INERTIA = 100;
// Kinds of decisions: a latent leaves 0, it is positive, it is in the upper half of its interval.
const SIGNIFICANT = 0;
export const POSITIVE = 1;
const UPPER = 2;
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

const logit = (ratio) => clip(round(256 * Math.log(ratio)), -MAX_LOGIT, MAX_LOGIT);

/**
 * Logits of the decisions about a state; `distance` is that of the mean, in eighths or quarters.
 *
 * The probability of an interval from x to y is a function of y - x, divided by cosh(x / 2s) and by
 * cosh(y / 2s): so the tails need no care.
 */
function logitsOf(state, scale, distance) {
  const a = distance / (state ? 4 : 8);
  const [p, q, r, s, one] = [1 + a, 1 - a, 2 + a, 2 - a, 1].map(
    (x) => Math.cosh(x * 2 ** ((UNIT_SCALE - scale) / 8 - 1)));
  return state ? [logit(q / p)] : [logit((p / s + q / r) / one / 2), logit((p / q) * (r / s))];
}

const results = []; // of this function: 131 for each scale, 65 of them for the state 0

/**
 * @param {number} latent its index
 * @param {number} state before the symbol
 * @param {number} scale 0 to 47
 * @param {number} mean in eighths of the step
 * @returns {{latent: number, logits: number[]}} logits in 1/256 of `SIGNIFICANT` and `POSITIVE` if the
 *   state is 0, else of `UPPER`
 */
export function symbolOf(latent, state, scale, mean) {
  const off = state ? 8 * Math.abs(state) + (8 - Math.sign(state) * mean) / 2 : mean;
  const distance = clip(Math.trunc(off), -OFFSETS, OFFSETS);
  const logits = (results[131 * scale + distance + (state ? 97 : OFFSETS)] ??=
    logitsOf(state, scale, distance));
  return { latent, logits };
}

const keyOf = ({ logits }) => (logits.length > 1 ? logits[0] : HALVING_KEY);

/** Symbols in coding order: the largest key first, equal keys as they are. */
export function inOrder(symbols) {
  const keys = new Float64Array(symbols.length);
  for (let i = 0; i < keys.length; i++) keys[i] = i - keyOf(symbols[i]) * INDICES;
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

const probabilities = new Uint16Array(2 * MAX_LOGIT + 1); // those that were needed

const limited = (x, most) => clip(Math.floor(x), -most, most);

/** The probability of a logit, in units of 1/65536. */
export const probabilityOf = (logit) =>
  (probabilities[logit + MAX_LOGIT] ||= round(ONE / (1 + Math.exp(-logit / 256))));

/** By kind, of the decisions of a step: errors, variances, and both times logits. */
const sums = new Float64Array(12);

/** A layer without symbols: the probabilities of its decisions will adapt to it. */
export const createLayer = (size) => ({
  states: new Int32Array(size), levels: new Int32Array(size).fill(-1),
  factors: [ONE, ONE, ONE], offsets: [],
});

/**
 * Code symbols of a step: refine the states, then adapt the probabilities.
 *
 * @param {object[]} symbols what `symbolOf` returns, in coding order
 * @param {object} layer what `createLayer` returns
 * @param {number} plane of the step
 * @param {number} group of the step
 * @param {(probability: number, latent: number, kind: number) => number} code decodes or encodes a
 *   decision, and returns it: 1, 0 or `UNKNOWN`
 * @returns {number} how many of the symbols are known
 */
export function codeStep(symbols, { states, levels, factors, offsets }, plane, group, code) {
  const ours = (offsets[group] ??= [0, 0, 0]);
  sums.fill(0);
  const decide = (latent, kind, logit) => {
    const z = ((factors[kind] * logit) >> 16) + (ours[kind] >> 8);
    const p = probabilityOf(clip(z, -MAX_LOGIT, MAX_LOGIT));
    const bit = code(p, latent, kind);
    const error = bit * ONE - p, variance = (p * (ONE - p)) >> 16;
    sums[kind] += error;
    sums[kind + 3] += variance;
    sums[kind + 6] += error * logit;
    sums[kind + 9] += variance * logit * logit;
    return bit;
  };
  let count = 0;
  for (const { latent, logits } of symbols) {
    const state = states[latent];
    const digit = decide(latent, state ? UPPER : SIGNIFICANT, logits[0]);
    const positive = digit > 0 && !state ? decide(latent, POSITIVE, logits[1]) : digit;
    if (positive === UNKNOWN) break;
    states[latent] = state ? 2 * state + Math.sign(state) * digit : digit && 2 * positive - 1;
    levels[latent] = plane;
    count++;
  }
  for (let kind = 0; kind < 3; kind++) {
    const shift = (ONE * sums[kind]) / (OFFSET_INERTIA + sums[kind + 3]);
    const change = sums[kind + 6] / 256 / (FACTOR_INERTIA + Math.floor(sums[kind + 9] / 2 ** 32));
    ours[kind] = limited(ours[kind] + limited(shift, ONE), 16 * ONE);
    factors[kind] = clip(factors[kind] + limited(change, ONE / 4), 0, 4 * ONE);
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
 * @returns {{layers: object[], decodedCount: number, axis: number}} states of each layer with the
 *   plane that each is known to, how many symbols the bytes determine, and the color axis
 */
export function decodeLook(tables, stream, position, layers, grid, look = createLook(tables, grid)) {
  const decode = createRangeDecoder(stream, position);
  const found = {
    axis: decodeAxis(decode), decodedCount: 0,
    layers: Array.from({ length: layers }, () => createLayer(look.starts.length)),
  };
  for (let plane = 0; plane < tables.look; plane++) {
    const steps = found.layers.map(({ states }) => look.symbols(states, plane));
    for (const [layer, symbols] of steps.entries()) {
      const known = codeStep(symbols, found.layers[layer], plane, 0, decode);
      found.decodedCount += known;
      if (known < symbols.length) return found;
    }
  }
  return found;
}
