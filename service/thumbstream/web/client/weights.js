/**
 * Reads the payload of client.bin: a model's layout, its tables, and its synthesis weights.
 *
 * docs/javascript.md, "client.bin". The bytes are trusted: their hash was checked, or they are part
 * of the code.
 */

const NEWLINE = 10;
const FEATURES = 4;
const VALUES = 2;
const OWN = 5;
const PROBABILITIES = 2048;

const NARROW = 6; // the first tables have one byte per number, the others three

/** The tables in the order of a payload: `[blocks, rows in a block, numbers in a row]`. */
function tableShapes({ planes, groups, starts: { length: channels }, hidden, second }) {
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
    probability: [1, 1, PROBABILITIES],
  };
}

/**
 * @param {Uint8Array} payload
 * @returns {object} all keys of the first line; the tables by the names of docs/bitstream.md, as flat
 *   arrays; and `weights` and `bias` in each of `layers`
 */
export function readWeights(payload) {
  const end = payload.indexOf(NEWLINE);
  const layout = JSON.parse(String.fromCharCode(...payload.subarray(0, end)));
  let position = end + 1;
  /** Numbers of `size` bytes: the lowest bytes of all numbers first. */
  const numbers = (count, size) => {
    const values = new Int32Array(count);
    for (let shift = 0; shift < 8 * size; shift += 8) {
      for (let i = 0; i < count; i++) values[i] |= payload[position++] << shift;
    }
    return values;
  };
  // By far the most numbers: the engine converts them, because a loop that is not compiled is slow.
  const integers = (count) =>
    new Float32Array(new Int8Array(payload.slice(position, (position += count)).buffer));
  // The exponent of binary16 is 112 less than that of the float with the same bits.
  const halves = (count) => {
    const bits = numbers(count, 2).map((half) => (half >> 15 << 31) | ((half & 0x7fff) << 13));
    return new Float32Array(bits.buffer).map((scaled) => scaled * 2 ** 112);
  };
  const wide = (count) => numbers(count, 3).map((coded) => (coded >> 1) ^ -(coded & 1));

  const outs = layout.layers.reduce((sum, layer) => sum + layer.outs, 0);
  const [scales, biases] = [halves(outs), halves(outs)];
  const shapes = Object.entries(tableShapes(layout));
  const readTables = (entries, read) =>
    entries.map(([name, [x, y, z]]) => [name, read(x * y * z)]);
  const narrow = readTables(shapes.slice(0, NARROW), integers);
  let row = 0;
  const layers = layout.layers.map((layer) => {
    const from = row;
    row += layer.outs;
    const weights = integers(layer.outs * layer.ins * layer.taps);
    for (let i = 0; i < weights.length; i += layer.outs) scaleRow(weights, i, scales, from, row);
    return { ...layer, weights, bias: biases.subarray(from, row) };
  });
  const others = readTables(shapes.slice(NARROW), wide);
  let slope = 0, sum = 0;
  const probability = others.pop()[1].map((change) => (sum += slope += change));
  return { ...layout, ...Object.fromEntries([...narrow, ...others]), probability, layers };
}

/**
 * Add the tables of the first steps, each of which is a corner of the complete table.
 *
 * @param {object} weights what `readWeights` returns for client.bin
 * @param {object} part the same for the first steps
 */
export function addTables(weights, part) {
  const partShapes = tableShapes(part);
  for (const [name, [, rows, count]] of Object.entries(tableShapes(weights))) {
    const [blocks, partRows, length] = partShapes[name];
    for (let row = 0; row < blocks * partRows; row++) {
      const start = (((row / partRows) | 0) * rows + (row % partRows)) * count;
      addRow(weights[name], start, part[name], row * length, length);
    }
  }
}

// Separate functions, because they are called often and so compiled long before the last row.

function scaleRow(weights, start, scales, from, to) {
  for (let o = from; o < to; o++) weights[start++] *= scales[o];
}

function addRow(to, start, from, begin, count) {
  for (let i = 0; i < count; i++) to[start + i] += from[begin + i];
}
