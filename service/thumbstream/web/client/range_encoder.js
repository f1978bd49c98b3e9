/**
 * Byte-wise binary range encoder, the inverse of range_coder.js. docs/bitstream.md, "Range coder".
 */

const TOP = 2 ** 32;
const BOTTOM = 2 ** 24;
const CODE_BYTES = 4;

/**
 * @returns {{encode: (bit: number, probability: number) => void, stableLength: () => number,
 *   finish: () => Uint8Array}} `encode` takes the probability of a 1 in units of 1/65536;
 *   `stableLength` is a number of bytes that no later decision can change; `finish` returns all bytes,
 *   as few as determine every decision
 */
export function createRangeEncoder() {
  const out = [];
  let low = 0, range = TOP;
  const carry = () => {
    let i = out.length - 1; // the interval stays in [0, 1): a byte below 255 precedes
    while (out[i] === 255) out[i--] = 0;
    out[i]++;
  };
  const encode = (bit, probability) => {
    const split = Math.floor((range * probability) / 65536);
    if (bit) {
      range = split;
    } else {
      low += split;
      range -= split;
      if (low >= TOP) {
        low -= TOP;
        carry();
      }
    }
    while (range < BOTTOM) {
      out.push(Math.floor(low / BOTTOM));
      low = (low % BOTTOM) * 256;
      range *= 256;
    }
  };
  const stableLength = () => (low + range <= TOP ? out.length : 0);
  const finish = () => {
    let missing = CODE_BYTES, value, unit;
    do {
      unit = 256 ** --missing;
      value = Math.ceil(low / unit) * unit;
    } while (missing && value + unit > low + range);
    if (value >= TOP) {
      value -= TOP;
      carry();
    }
    for (let i = 0; i < CODE_BYTES - missing; i++) out.push(Math.floor(value / 256 ** (3 - i)) % 256);
    return Uint8Array.from(out);
  };
  return { encode, stableLength, finish };
}
