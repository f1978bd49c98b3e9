/**
 * Byte-wise binary range decoder, integers only: all stay below 2^49, exact in a JavaScript number.
 *
 * It is asked decision by decision. When the stream has ended it goes on as long as every possible
 * continuation gives the same answer, and then says so. docs/bitstream.md, "Range coder".
 */

const TOP = 2 ** 32;
const BOTTOM = 2 ** 24;
const CODE_BYTES = 4;

/** What a decision is where the data determine none. */
export const UNKNOWN = -1;

/**
 * @param {Uint8Array} data
 * @param {number} position index of the first byte to read
 * @returns {(chance: number) => number} the next decision, given its chance of being 1, of 65536:
 *   1 or 0, or from then on always `UNKNOWN`
 */
export function rangeDecoder(data, position) {
  let missing = 0; // low bytes of code that lie behind the end, at most 4; they count as zero
  let range = 1; // from 2^24 to 2^32 between decisions
  let code = 0; // below range
  const shiftIn = () => {
    range *= 256;
    code *= 256;
    if (position < data.length) code += data[position++];
    else if (missing < CODE_BYTES) missing++;
  };
  for (let i = 0; i < CODE_BYTES; i++) shiftIn();
  return (chance) => {
    const split = Math.floor((range * chance) / 65536);
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
