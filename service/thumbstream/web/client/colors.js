/**
 * The color axis of format 8: colors are coded after a rotation that turns this axis into gray.
 *
 * As lapped/colours.py. docs/bitstream.md, "Colour axis".
 */

export const AXIS_BITS = 5;
/** The probability of each of these decisions, in units of 1/65536. */
export const EVEN = 32768;
export const GRAY = [1, 1, 1];

/** The number of the axis; 0 if a decision is not known, because all later ones are not, either. */
export function decodeAxis(decode) {
  let axis = 0;
  for (let i = 0; i < AXIS_BITS; i++) {
    const bit = decode(EVEN);
    axis = bit < 0 ? 0 : 2 * axis + bit;
  }
  return axis;
}

/** The direction halfway between gray and an axis. */
export function halfway({ axes }, axis) {
  const [x, y, z] = axes.slice(3 * axis);
  return [x, y, z].map((value) => value * Math.sqrt(3) + Math.hypot(x, y, z));
}

/** Reflect colors in place, a plane of each, across the line of a direction. */
export function reflect(samples, direction) {
  const n = samples.length / 3;
  for (let i = 0; i < n; i++) {
    let sum = 0, square = 0;
    for (let c = 0; c < 3; c++) {
      sum += direction[c] * samples[i + c * n];
      square += direction[c] * direction[c];
    }
    for (let c = 0; c < 3; c++) {
      samples[i + c * n] = (2 * direction[c] * sum) / square - samples[i + c * n];
    }
  }
}

/** Rotate colors in place, a plane of each: gray becomes the axis. Two reflections are a rotation. */
export function rotateToAxis(samples, tables, axis) {
  reflect(samples, GRAY);
  reflect(samples, halfway(tables, axis));
}
