/**
 * Writes BMP files: less code and less time than PNG, which has checksums. Those of 24 bits, bottom row
 * first, are the ones that every browser has always read. They have no alpha.
 */

const HEADER = 54; // bytes
const SLICE = 8192; // arguments of a call

/** @param {import("./index.js").Picture} picture opaque @returns {string} a data URL */
export function bmpDataURL({ width, height, data }) {
  const stride = (3 * width + 3) & ~3;
  const size = HEADER + stride * height;
  // Its fields begin two bytes after the start of the file.
  const words = new Uint32Array((size >> 2) + 2); // browsers are little-endian
  words.set([0x4d420000, size, 0, HEADER, 40, width, height, 0x180001]);
  const bytes = new Uint8Array(words.buffer, 2, size);
  for (let y = 0, from = 0; y < height; y++) {
    let to = size - (y + 1) * stride;
    for (let x = 0; x < width; x++, from += 4) {
      bytes[to++] = data[from + 2];
      bytes[to++] = data[from + 1];
      bytes[to++] = data[from];
    }
  }
  let text = "";
  for (let i = 0; i < size; i += SLICE) text += String.fromCharCode(...bytes.subarray(i, i + SLICE));
  return `data:image/bmp;base64,${btoa(text)}`;
}
