/** Bytes as text: hexadecimal digits, and strings with a byte in each character. */

/** Two hexadecimal digits for each byte. */
export const hex = (bytes) =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** A byte for each character: its code less `shift`, modulo 256. */
export const bytesOf = (text, shift = 0) =>
  Uint8Array.from(text, (letter) => letter.charCodeAt(0) - shift);
