/**
 * The first look of format 8: the symbols of group 0 before any other, from a few integer tables.
 *
 * Group 0 has the frequencies of the whole picture. All of this is integer arithmetic up to the
 * latents, and the same as lapped/look.py. docs/bitstream.md, "Format 8".
 */

import { UNKNOWN, createRangeDecoder } from "./range_coder.js";

const CLASSES = 4;
const SCALES = 48;
const UNIT_SCALE = 28;
const OFFSETS = 33;
const HALVING_KEY = 1024; // of a symbol that halves an interval
const ONE = 65536;
const NODES = 6;
const LOW = 4; // frequencies below this count for the activity of a channel
const START = -320; // scale in sixteenths at which a coefficient starts
const MAX_VALUE = 1023;
const AGES = [64, 76, 91, 108]; // 64 times the ratio of steps of planes 0 to 3 apart

const clip = (x, low, high) => Math.min(Math.max(x, low), high);
const round = (x) => Math.floor(x + 0.5);
const remainder = (x) => x & (CLASSES - 1);

/** Value of a state in eighths of the step of a plane `age` planes after its level. */
const inSteps = (q, age) =>
  Math.sign(q) * (((16 * Math.abs(q) + 7) * AGES[remainder(age)]) >> (7 - (age >> 2))) || 0;

/** Logarithm of the magnitude of a value: 0 to 15. */
function magnitude(x) {
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
 * Scales in plane 0, classes and starts of all coefficients, channel by channel.
 *
 * @param {object} tables of the model: `first` and `look`, and the arrays of look.npz
 */
function layOut({ first, scale }, rows, columns) {
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

/** Contexts of one layer in a plane: arrays of values and magnitudes, and the sums of activities. */
function contextsOf({ first, activity }, q, plane, classes, rows, columns) {
  const cells = rows * columns;
  const x = Int32Array.from(q, (state, i) => {
    const age = 1 + remainder(plane - 1 - classes[i]);
    return clip(inSteps(state, age), -MAX_VALUE, MAX_VALUE);
  });
  const m = x.map(magnitude);
  const sums = Array.from({ length: first }, (_, e) => {
    let sum = 0;
    for (let u = 0; u < Math.min(LOW, rows); u++) {
      for (let v = 0; v < Math.min(LOW, columns); v++) sum += m[e * cells + u * columns + v];
    }
    return sum;
  });
  const activities = sums.map((_, c) =>
    sums.reduce((total, sum, e) => total + activity[c * first + e] * sum, 0) >> 2,
  );
  return { x, m, activities };
}

/**
 * @param {object} tables of the model: `first` and `look`, and the arrays of look.npz
 * @param {Uint8Array} stream
 * @param {number} position index of the first byte after the header
 * @param {number} layers 1, or 2 with alpha
 * @param {{rows: number, columns: number}} grid of cells
 * @returns {{layers: {states: Int32Array, levels: Int32Array}[], decodedCount: number}} the
 *   coefficients `[channel * cells + u * columns + v]` of each layer, with the plane that each is known
 *   to, and how many symbols the bytes determine
 */
export function decodeLook(tables, stream, position, layers, { rows, columns }) {
  const { first, look, slope, taps, valueTaps } = tables;
  const cells = rows * columns;
  const decode = createRangeDecoder(stream, position);
  const { base, classes, starts } = layOut(tables, rows, columns);
  const found = Array.from({ length: layers }, () => ({
    states: new Int32Array(first * cells), levels: starts.map((start) => start - CLASSES),
  }));
  let decodedCount = 0;

  /** Sum of the taps of channel c, each `[target, source, du, dv, weight, low]`. */
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

  for (let plane = 0; plane < look; plane++) {
    for (const { states, levels } of found) {
      const { x, m, activities } = contextsOf(tables, states, plane, classes, rows, columns);
      const symbols = [];
      for (let i = 0; i < states.length; i++) {
        if (classes[i] !== remainder(plane) || starts[i] > plane) continue;
        const c = Math.floor(i / cells), u = Math.floor((i % cells) / columns), v = i % columns;
        const scale = clip(
          (4 * base[i] + (128 + slope[c]) * plane + activities[c] + tapped(taps, m, c, u, v)) >> 6,
          0, SCALES - 1,
        );
        const mean = tapped(valueTaps, x, c, u, v) >> 12;
        const probabilities = states[i] ? [upperProbability(scale, mean, states[i])]
          : zeroProbabilities(scale, mean);
        symbols.push({ i, probabilities, key: states[i] ? HALVING_KEY : probabilities[0] });
      }
      symbols.sort((a, b) => b.key - a.key);
      for (const { i, probabilities } of symbols) {
        const state = states[i];
        const digit = decode(probabilities[0]);
        const positive = digit > 0 && !state ? decode(probabilities[1]) : digit;
        if (positive === UNKNOWN) return { layers: found, decodedCount };
        states[i] = state ? 2 * state + Math.sign(state) * digit : digit && 2 * positive - 1;
        levels[i] = plane;
        decodedCount++;
      }
    }
  }
  return { layers: found, decodedCount };
}
