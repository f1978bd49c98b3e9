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
const OFFSETS = 33;
const HALVING_KEY = 1024; // of a symbol that halves an interval
const ONE = 65536;
const NODES = 6;
const LOW = 4; // frequencies below this count for the activity of a channel
const START = -320; // scale in sixteenths at which a coefficient starts
export const MAX_VALUE = 1023;
const AGES = [64, 76, 91, 108]; // 64 times the ratio of steps of planes 0 to 3 apart

export const clip = (x, low, high) => Math.min(Math.max(x, low), high);
const round = (x) => Math.floor(x + 0.5);
export const remainder = (x) => x & (CLASSES - 1);

/** Value of a state in eighths of the step of a plane `age` planes after its level. */
export const inSteps = (q, age) =>
  Math.sign(q) * (((16 * Math.abs(q) + 7) * AGES[remainder(age)]) >> (7 - (age >> 2))) || 0;

/** Logarithm of the magnitude of a value: 0 to 15. */
export function magnitude(x) {
  const y = Math.min(Math.abs(x), 119) + 8;
  const n = 31 - Math.clz32(y);
  return 4 * (n - 3) + ((y >> (n - 2)) & 3);
}

/** `(low, high)` to the probability of this interval, of a logistic distribution around 0. */
function massOf(scale) {
  const s = 2 ** ((scale - UNIT_SCALE) / 8);
  const tail = (x) => 1 / (1 + Math.exp(Math.abs(x) / s));
  return (low, high) => low >= 0 ? tail(low) - tail(high)
    : high <= 0 ? tail(high) - tail(low) : 1 - tail(low) - tail(high);
}

const integer = (p) => clip(Math.floor(ONE * p + 0.5), 1, ONE - 1);

/** `[significant, positive]` of a latent that is 0. */
function zeroProbabilities(scale, mean) {
  const a = Math.min(Math.abs(mean), OFFSETS - 1) / 8;
  const mass = massOf(scale);
  const [above, below, zero] = [mass(1 - a, 2 - a), mass(-2 - a, -1 - a), mass(-1 - a, 1 - a)];
  const positive = integer(above / (above + below));
  return [integer((above + below) / (zero + above + below)), mean < 0 ? ONE - positive : positive];
}

/** Probability that a latent is in the upper half of its interval. */
function upperProbability(scale, mean, q) {
  const off = 8 * (2 * Math.abs(q) + 1) - Math.sign(q) * mean;
  const x = Math.min(Math.abs(off) >> 1, OFFSETS - 1) / 4;
  const mass = massOf(scale);
  const upper = integer(mass(x, x + 1) / mass(x - 1, x + 1));
  return off < 0 ? ONE - upper : upper;
}

/**
 * @param {number} latent its index
 * @param {number} state before the symbol
 * @param {number} scale 0 to 47
 * @param {number} mean in eighths of the step
 * @returns {{latent: number, probabilities: number[], key: number}} probabilities of the one or two
 *   decisions in units of 1/65536, and the key of the coding order, the largest first
 */
export function symbolOf(latent, state, scale, mean) {
  if (state) return { latent, probabilities: [upperProbability(scale, mean, state)], key: HALVING_KEY };
  const probabilities = zeroProbabilities(scale, mean);
  return { latent, probabilities, key: probabilities[0] };
}

/** Scales in plane 0, classes and starts of all coefficients, channel by channel. */
function layOut({ first, scale }, { rows, columns }) {
  const cells = rows * columns;
  const place = (f) => round(16 * Math.log2(1 + f));
  const weight = (f, node) => Math.max(0, 16 - Math.abs(place(f) - 16 * node));
  const size = round(64 * Math.log2(cells)) - 256;
  const base = new Int32Array(first * cells);
  const classes = new Uint8Array(first * cells);
  const starts = new Int32Array(first * cells);
  for (let i = 0; i < base.length; i++) {
    const c = Math.floor(i / cells), u = Math.floor((i % cells) / columns), v = i % columns;
    let sum = 0;
    for (let j = 0; j < NODES * NODES; j++) {
      sum += scale[c * NODES * NODES + j] * weight(u, Math.floor(j / NODES)) * weight(v, j % NODES);
    }
    base[i] = (sum >> 4) + size;
    classes[i] = remainder(c + 3 * u + 2 * v);
    const reached = Math.max(0, Math.ceil((START - base[i]) / 32));
    starts[i] = reached + remainder(classes[i] - reached);
  }
  return { base, classes, starts };
}

/**
 * @param {object} tables of the model: `first` and `look`, and the arrays of look.npz
 * @param {{rows: number, columns: number}} grid of cells
 * @returns {{classes: Uint8Array, starts: Int32Array, symbols: (states: Int32Array, plane: number) =>
 *   object[]}} classes and starts of the coefficients `[channel * cells + u * columns + v]`, and the
 *   symbols of a plane, given the states before it
 */
export function createLook(tables, grid) {
  const { first, slope, activity, taps, valueTaps } = tables;
  const { rows, columns } = grid;
  const cells = rows * columns;
  const { base, classes, starts } = layOut(tables, grid);

  /** Sum over taps of channel c, each `[target, source, du, dv, weight, low]`. */
  const tapped = (list, values, c, u, v) => {
    let sum = 0;
    for (const [target, source, du, dv, weight, low] of list) {
      const row = u + du, column = v + dv;
      if (target !== c || row < 0 || row >= rows || column < 0 || column >= columns) continue;
      const factor = low === undefined ? weight
        : 64 * weight + low * Math.floor((258 + u + v) / (2 * (2 + u + v)));
      sum += factor * values[source * cells + row * columns + column];
    }
    return sum;
  };

  /** By channel: what the magnitudes at low frequencies add to its scale. */
  const activities = (m) => {
    const sums = new Int32Array(first);
    for (let i = 0; i < first * cells; i++) {
      if (Math.floor((i % cells) / columns) < LOW && i % columns < LOW) sums[Math.floor(i / cells)] += m[i];
    }
    return sums.map((_, c) => sums.reduce((sum, z, e) => sum + activity[c * first + e] * z, 0) >> 2);
  };

  const symbols = (states, plane) => {
    const x = Int32Array.from(classes, (class_, i) =>
      clip(inSteps(states[i], 1 + remainder(plane - 1 - class_)), -MAX_VALUE, MAX_VALUE));
    const m = x.map(magnitude);
    const active = activities(m);
    const found = [];
    for (let i = 0; i < classes.length; i++) {
      if (classes[i] !== remainder(plane) || starts[i] > plane) continue;
      const c = Math.floor(i / cells), u = Math.floor((i % cells) / columns), v = i % columns;
      const sum = 4 * base[i] + (128 + slope[c]) * plane + active[c] + tapped(taps, m, c, u, v);
      const mean = tapped(valueTaps, x, c, u, v) >> 12;
      found.push(symbolOf(i, states[i], clip(sum >> 6, 0, SCALES - 1), mean));
    }
    return found;
  };
  return { classes, starts, symbols };
}

/**
 * Decode symbols of one plane and refine the states.
 *
 * @param {object[]} symbols what `symbolOf` returns, in the order of latents
 * @param {{states: Int32Array, levels: Int32Array}} layer
 * @param {number} plane
 * @param {(probability: number) => number} decode what `createRangeDecoder` returns
 * @returns {number} how many of the symbols the bytes determine
 */
export function decodeStep(symbols, { states, levels }, plane, decode) {
  symbols.sort((a, b) => b.key - a.key);
  for (const [index, { latent, probabilities }] of symbols.entries()) {
    const state = states[latent];
    const digit = decode(probabilities[0]);
    const positive = digit > 0 && !state ? decode(probabilities[1]) : digit;
    if (positive === UNKNOWN) return index;
    states[latent] = state ? 2 * state + Math.sign(state) * digit : digit && 2 * positive - 1;
    levels[latent] = plane;
  }
  return symbols.length;
}

/**
 * The first look of a stream: what its bytes determine of group 0 before any other group.
 *
 * @param {object} tables as above
 * @param {Uint8Array} stream
 * @param {number} position index of the first byte after the header
 * @param {number} layers 1, or 2 with alpha
 * @param {{rows: number, columns: number}} grid of cells
 * @returns {{layers: {states: Int32Array, levels: Int32Array}[], decodedCount: number}} states of each
 *   layer with the plane that each is known to, and how many symbols the bytes determine
 */
export function decodeLook(tables, stream, position, layers, grid) {
  const look = createLook(tables, grid);
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
