/** Conversions between bytes and text. */

/** Two hexadecimal digits per byte. */
export const toHex = (bytes) =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** One byte per character: its code minus `shift`, modulo 256. */
export function fromText(text, shift = 0) {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i) - shift;
  return bytes;
}

/**
 * The bytes of a stream as callers pass it.
 *
 * @param {Uint8Array | string} stream bytes, or the same in base64 or base64url
 * @returns {Uint8Array} the same array, or a new one
 * @throws {TypeError}
 */
export function streamBytes(stream) {
  const type = stream?.[Symbol.toStringTag] ?? typeof stream; // instanceof fails for other realms
  if (type === "Uint8Array") return stream;
  try {
    if (type === "string") return fromText(atob(stream.replaceAll("-", "+").replaceAll("_", "/")));
  } catch {
    // reported below
  }
  throw new TypeError(`expected a stream as Uint8Array or valid base64, got ${type}`);
}
