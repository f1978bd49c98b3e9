/**
 * From the position of a slider to a number of bytes and back.
 *
 * The scale is logarithmic, but not all the way down: the first bytes of a stream say little, so
 * the range below about 16 bytes is compressed. position = log(1 + (bytes - 1) / KNEE), normalised.
 */

export const POSITIONS = 1000; // steps of the slider
const KNEE = 16; // bytes
const NEAR_END = 0.95 * POSITIONS; // a tick beyond would touch the one of the whole stream
const TICKS = [16, 24, 32, 64, 128];
const LONG_TICKS = [16, 32, 64, 128, 256, 512, 1024, 2048];
const LONG = 400; // bytes; from here on the powers of two say more than 24 does

const warp = (bytes) => Math.log1p((bytes - 1) / KNEE);

/** @returns {number} 0..POSITIONS */
export function positionOf(bytes, length) {
  return length > 1 ? Math.round((POSITIONS * warp(bytes)) / warp(length)) : POSITIONS;
}

/** @returns {number} 1..length */
export function bytesAt(position, length) {
  return 1 + Math.round(KNEE * Math.expm1((position / POSITIONS) * warp(length)));
}

/** Byte counts worth a button, ascending; the last one is the whole stream. */
export function ticks(length) {
  const counts = length < LONG ? TICKS : LONG_TICKS;
  const apart = (bytes) => bytes < length && positionOf(bytes, length) < NEAR_END;
  return [...counts.filter(apart), length];
}

/** At most `count` byte counts from one byte to the whole stream, evenly spread on the slider. */
export function playlist(length, count = 48) {
  const counts = Array.from({ length: count }, (_, i) =>
    bytesAt((POSITIONS * i) / (count - 1), length),
  );
  return [...new Set(counts)];
}

/** Where a key takes the slider, or null if the key is not one of the slider's. */
export function afterKey(key, bytes, length) {
  const clamp = (value) => Math.min(length, Math.max(1, value));
  switch (key) {
    case "ArrowRight":
    case "ArrowUp":
      return clamp(bytes + 1);
    case "ArrowLeft":
    case "ArrowDown":
      return clamp(bytes - 1);
    case "PageUp":
      return clamp(bytes + 8);
    case "PageDown":
      return clamp(bytes - 8);
    case "Home":
      return 1;
    case "End":
      return length;
    default:
      return null;
  }
}
