/**
 * Reads the payload of client.bin: a model's layout, its tables, and its synthesis weights.
 *
 * docs/javascript.md, "client.bin". The bytes are trusted: their hash was checked.
 */

import { SAMPLES } from "./linear.js";
import { readLook } from "./look_tables.js";

const NEWLINE = 10;
const FEATURES = 4;
const VALUES = 2;
const CLASSES = 4;
const KLT_UNIT = 4096;

/**
 * @param {Uint8Array} payload
 * @returns {object} all keys of the first line; `first`, the channels of group 0; the tables by the
 *   names of docs/model-folder.md in camel case, as flat arrays in their order; and `weights` and
 *   `bias` in each of `layers`
 */
export function readWeights(payload) {
  const end = payload.indexOf(NEWLINE);
  const layout = JSON.parse(String.fromCharCode(...payload.subarray(0, end)));
  const { groups, starts, hidden, second, counts } = layout;
  const [first, later, coded] = [groups[0], groups.length - 1, starts.length];
  const channels = first + coded;
  let position = end + 1;
  const bytes = (count) => payload.slice(position, (position += count)).buffer;
  const singles = (count) => new Float32Array(bytes(4 * count));
  const integers = (count) => new Int8Array(bytes(count));
  /** Numbers of `size` bytes: the lowest bytes of all numbers first. */
  const numbers = (count, size) => {
    const values = new Int32Array(count);
    for (let shift = 0; shift < 8 * size; shift += 8) {
      for (let i = 0; i < count; i++) values[i] |= payload[position++] << shift;
    }
    return values;
  };
  // The exponent of binary16 is 112 less than that of the float with the same bits.
  const halves = (count) => {
    const bits = numbers(count, 2).map((half) => (half >> 15 << 31) | ((half & 0x7fff) << 13));
    return new Float32Array(bits.buffer).map((scaled) => scaled * 2 ** 112);
  };
  const wide = (count) => numbers(count, 3).map((coded) => (coded >> 1) ^ -(coded & 1));

  const [rotation, scales, gain, gainSlope] = [16, channels, channels, channels].map(singles);
  const outs = layout.layers.reduce((sum, layer) => sum + layer.outs, 0);
  const [layerScales, biases] = [halves(outs), halves(outs)];
  const look = readLook(integers, first, counts);
  const w1 = moved(integers(FEATURES * channels * hidden), FEATURES, hidden);
  const predictor = moved(integers(VALUES * channels * coded), VALUES, coded);
  const m = integers(hidden * second);
  const [w2, w3] = [hidden, second].map((units) => moved(integers(units * 2 * coded), units, 1));
  let row = 0;
  const layers = layout.layers.map((layer) => {
    const from = row;
    row += layer.outs;
    const weights = new Float32Array(integers(layer.outs * layer.ins * layer.taps));
    for (let i = 0; i < weights.length; i += layer.outs) scaleRow(weights, i, layerScales, from, row);
    return { ...layer, weights, bias: biases.subarray(from, row) };
  });
  const klt = new Float32Array(wide(channels * SAMPLES)).map((value) => value / KLT_UNIT);
  const [b1, b1Plane, bm, b2, b2Plane, own] = [
    CLASSES * later * 2 * hidden, hidden, later * second, 4 * coded, 2 * coded, 3 * coded,
  ].map(wide);
  return {
    ...layout, ...look, first, rotation, scales, gain, gainSlope, klt, layers,
    w1, b1, b1Plane, m, bm, w2, w3, b2, b2Plane, own, predictor,
  };
}

/** A table of `count` blocks of rows of `length`, as blocks of a row of each. */
function moved(table, count, length) {
  const rows = table.length / count / length;
  return table.map((_, i) => {
    const row = Math.floor(i / length);
    return table[((row % count) * rows + Math.floor(row / count)) * length + (i % length)];
  });
}

// A separate function, because it is called often and so compiled long before the last row.

function scaleRow(weights, start, scales, from, to) {
  for (let o = from; o < to; o++) weights[start++] *= scales[o];
}
