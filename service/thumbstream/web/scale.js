/**
 * The scale of the slider: position to bytes and back.
 *
 * It is logarithmic, and almost linear below about 16 bytes, where previews hardly differ:
 * position = log(1 + (bytes - 1) / KNEE), normalized.
 */

export const POSITIONS = 1000; // steps of the slider
const KNEE = 16; // bytes
const NEAR_END = 0.95 * POSITIONS; // a later tick would touch the last one
const TICKS = [12, 24, 32, 64, 128];
const LONG_TICKS = [12, 24, 64, 128, 256, 512, 1024, 2048];
const LONG = 400; // bytes of a stream from which on LONG_TICKS are used

const warp = (bytes) => Math.log1p((bytes - 1) / KNEE);

/** @returns {number} 0..POSITIONS */
export function positionOf(bytes, length) {
  return length > 1 ? Math.round((POSITIONS * warp(bytes)) / warp(length)) : POSITIONS;
}

/** @returns {number} 1..length */
export function bytesAt(position, length) {
  return 1 + Math.round(KNEE * Math.expm1((position / POSITIONS) * warp(length)));
}

/** Byte counts with a button, ascending; the last one is the complete stream. */
export function ticks(length) {
  const counts = length < LONG ? TICKS : LONG_TICKS;
  const apart = (bytes) => bytes < length && positionOf(bytes, length) < NEAR_END;
  return [...counts.filter(apart), length];
}

/** At most `count` byte counts from 1 to the complete stream, evenly spaced on the slider. */
export function playlist(length, count = 48) {
  const counts = Array.from({ length: count }, (_, i) =>
    bytesAt((POSITIONS * i) / (count - 1), length),
  );
  return [...new Set(counts)];
}

/** Bytes after a key press, or null for keys without a meaning for the slider. */
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
