/** Writes the header of a stream of format 8. docs/bitstream.md, "Header". */

import { RATIOS } from "./bitstream.js";

const SIDE_STEP = 8;
const SHORT_FORM_SIDE = 32; // pixels: opaque pictures with this long side have a header of one byte
const SHORT_CODE_SIDE = 128; // pixels: up to here a shape code has one byte
const SHAPES = 63; // of pictures with the long side 32; then come aspect ratios
const COMPACT = 0xa0;
const ALPHA = 0xc0;
const TOLERANCE = 0.004;

/**
 * @param {{width: number, height: number, alpha: boolean}} picture on the grid
 * @param {{width: number, height: number}} original of which it is a reduction
 * @returns {number[]} bytes
 */
export function headerOf({ width, height, alpha }, original) {
  const long = Math.max(width, height), short = Math.min(width, height);
  const shape = short - 1 + (height > width ? long : 0);
  const code = long === SHORT_FORM_SIDE ? (aspectCode(width, height, original) ?? shape) : shape;
  if (long === SHORT_FORM_SIDE && !alpha) return [SHAPES + code];
  const first = (alpha ? ALPHA : COMPACT) + long / SIDE_STEP - 1;
  return long > SHORT_CODE_SIDE ? [first, code >> 8, code & 255] : [first, code];
}

/** The code of the ratio that is nearest to that of the original, if it is nearer than the pixels. */
function aspectCode(width, height, original) {
  const portraits = RATIOS.map(([long, short]) => [short, long]);
  /** Numerator and denominator of the relative error of a ratio, times the same for all ratios. */
  const errorOf = (across, down) =>
    [Math.abs(original.width * down - original.height * across), across];
  const isLess = (a, b) => a[0] * b[1] < b[0] * a[1];
  let best, least = errorOf(width, height);
  const limit = [TOLERANCE * 1000 * original.height, 1000];
  if (isLess(limit, least)) least = limit;
  for (const [code, [across, down]] of [...RATIOS, ...portraits].entries()) {
    const scale = SHORT_FORM_SIDE / Math.max(across, down);
    const error = errorOf(across, down);
    const fits = Math.round(across * scale) === width && Math.round(down * scale) === height;
    if (fits && isLess(error, least)) [best, least] = [SHAPES + code, error];
  }
  return best;
}
