/**
 * Byte-wise binary range decoder. All integers stay below 2^49, exact in a JavaScript number.
 *
 * After the last byte it continues as long as all possible continuations give the same decision, and
 * returns `UNKNOWN` from then on. docs/bitstream.md, "Range coder".
 */

const TOP = 2 ** 32;
const BOTTOM = 2 ** 24;
const CODE_BYTES = 4;

/** The decision where the data determine none. */
export const UNKNOWN = -1;

/**
 * @param {Uint8Array} data
 * @param {number} position index of the first byte to read
 * @returns {(probability: number) => number} decodes the next decision, given the probability of a 1
 *   in units of 1/65536: 1 or 0, or from the end of the data on always `UNKNOWN`
 */
export function createRangeDecoder(data, position) {
  let missing = 0; // low bytes of `code` after the end of the data, at most 4; they count as zero
  let range = 1; // from 2^24 to 2^32 between decisions
  let code = 0; // below range
  const shiftIn = () => {
    range *= 256;
    code *= 256;
    if (position < data.length) code += data[position++];
    else if (missing < CODE_BYTES) missing++;
  };
  for (let i = 0; i < CODE_BYTES; i++) shiftIn();
  return (probability) => {
    const split = Math.floor((range * probability) / 65536);
    let bit = 0;
    if (code >= split) {
      code -= split;
      range -= split;
    } else if (missing && code + 256 ** missing > split) {
      range = TOP;
      code = 0;
      missing = CODE_BYTES;
      return UNKNOWN;
    } else {
      range = split;
      bit = 1;
    }
    while (range < BOTTOM) shiftIn();
    return bit;
  };
}
