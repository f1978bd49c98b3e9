/**
 * What was published of a model, from bytes: its layout, its tables, its synthesis weights.
 *
 * docs/client.md, "Format". The bytes are trusted: their hash was checked, or they came with the
 * code.
 */

const NEWLINE = 10;
const FEATURES = 4;
const VALUES = 2;
const OWN = 5;
const CHANCES = 2048;

const NARROW = 6; // the first tables have one byte a number, the others three

/** The tables in the order of a payload: as many blocks, of so many rows, of so many numbers. */
function shapesOf({ planes, groups, starts: { length: channels }, hidden, second }) {
  const a = [FEATURES, channels, hidden];
  const gain = [planes, 2, channels];
  return {
    a,
    b: a,
    predictor: [VALUES, channels, channels],
    m: [1, hidden, second],
    w2: [hidden, 2, channels],
    w3: [second, 2, channels],
    own: [1, OWN, channels],
    gain,
    b1: [planes, groups.length, hidden],
    bm: [1, groups.length, second],
    b2: gain,
    probability: [1, 1, CHANCES],
  };
}

/**
 * @param {Uint8Array} payload
 * @returns {object} all keys of the first line; the tables by the names of docs/bitstream.md, flat;
 *   and of each of `layers` the `weights` and the `bias`
 */
export function readWeights(payload) {
  const end = payload.indexOf(NEWLINE);
  const layout = JSON.parse(String.fromCharCode(...payload.subarray(0, end)));
  let position = end + 1;
  /** Numbers of so many bytes: first the lowest bytes of all, then those above. */
  const numbers = (count, size) => {
    const found = new Int32Array(count);
    for (let shift = 0; shift < 8 * size; shift += 8) {
      for (let i = 0; i < count; i++) found[i] |= payload[position++] << shift;
    }
    return found;
  };
  // Most of them by far: converted by the engine, since a loop that never ran before is slow.
  const integers = (count) =>
    new Float32Array(new Int8Array(payload.slice(position, (position += count)).buffer));
  // The exponent of binary16 is 112 smaller than that of the float of the same bits.
  const halves = (count) => {
    const bits = numbers(count, 2).map((half) => (half >> 15 << 31) | ((half & 0x7fff) << 13));
    return new Float32Array(bits.buffer).map((tiny) => tiny * 2 ** 112);
  };
  const wide = (count) => numbers(count, 3).map((coded) => (coded >> 1) ^ -(coded & 1));

  const outs = layout.layers.reduce((sum, layer) => sum + layer.outs, 0);
  const [scales, biases] = [halves(outs), halves(outs)];
  const shapes = Object.entries(shapesOf(layout));
  const tables = (some, read) => some.map(([name, [x, y, z]]) => [name, read(x * y * z)]);
  const narrow = tables(shapes.slice(0, NARROW), integers);
  let row = 0;
  const layers = layout.layers.map((layer) => {
    const from = row;
    row += layer.outs;
    const weights = integers(layer.outs * layer.ins * layer.taps);
    for (let i = 0; i < weights.length; i += layer.outs) scaleRow(weights, i, scales, from, row);
    return { ...layer, weights, bias: biases.subarray(from, row) };
  });
  const others = tables(shapes.slice(NARROW), wide);
  let slope = 0, chance = 0;
  const probability = others.pop()[1].map((change) => (chance += slope += change));
  return { ...layout, ...Object.fromEntries([...narrow, ...others]), probability, layers };
}

/**
 * Add to the tables those of a part of the same model: each is a corner of the whole one.
 *
 * @param {object} weights what `readWeights` gives
 * @param {object} part the same of the part
 */
export function addPart(weights, part) {
  const corners = shapesOf(part);
  for (const [name, [, rows, count]] of Object.entries(shapesOf(weights))) {
    const [blocks, few, length] = corners[name];
    for (let row = 0; row < blocks * few; row++) {
      const start = (((row / few) | 0) * rows + (row % few)) * count;
      addRow(weights[name], start, part[name], row * length, length);
    }
  }
}

// Functions of their own: called often, they are compiled long before the last row.

function scaleRow(weights, start, scales, from, to) {
  for (let o = from; o < to; o++) weights[start++] *= scales[o];
}

function addRow(to, start, from, begin, count) {
  for (let i = 0; i < count; i++) to[start + i] += from[begin + i];
}
