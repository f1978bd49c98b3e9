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
  const integers = (count) => new Float32Array(new Int8Array(numbers(count, 1)));
  // The exponent of binary16 is 112 smaller than that of the float of the same bits.
  const halves = (count) => {
    const bits = numbers(count, 2).map((half) => (half >> 15 << 31) | ((half & 0x7fff) << 13));
    return new Float32Array(bits.buffer).map((tiny) => tiny * 2 ** 112);
  };
  const wide = (count) => numbers(count, 3).map((coded) => (coded >> 1) ^ -(coded & 1));

  const { planes, hidden, second, layers } = layout;
  const channels = layout.starts.length;
  const groups = layout.groups.length;
  const outs = layers.reduce((sum, layer) => sum + layer.outs, 0);
  const [scales, biases] = [halves(outs), halves(outs)];
  let row = 0;
  let slope = 0, chance = 0;
  return {
    ...layout,
    a: integers(FEATURES * channels * hidden),
    b: integers(FEATURES * channels * hidden),
    predictor: integers(VALUES * channels * channels),
    m: integers(hidden * second),
    w2: integers(hidden * 2 * channels),
    w3: integers(second * 2 * channels),
    layers: layers.map((layer) => {
      const from = row;
      row += layer.outs;
      const weights = integers(layer.outs * layer.ins * layer.taps);
      for (let i = 0; i < weights.length; ) {
        for (let o = from; o < row; o++) weights[i++] *= scales[o];
      }
      return { ...layer, weights, bias: biases.subarray(from, row) };
    }),
    own: wide(OWN * channels),
    gain: wide(planes * 2 * channels),
    b1: wide(planes * groups * hidden),
    bm: wide(groups * second),
    b2: wide(planes * 2 * channels),
    probability: wide(CHANCES).map((change) => (chance += slope += change)),
  };
}
