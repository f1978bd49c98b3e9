/** Bytes as text: hexadecimal digits, and strings with a byte in each character. */

/** Two hexadecimal digits for each byte. */
export const hex = (bytes) =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** A byte for each character: its code less `shift`, modulo 256. */
export function bytesOf(text, shift = 0) {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i) - shift;
  return bytes;
}
