/** Writes PNG files in memory, without a canvas, so it runs anywhere. Pixels are not compressed. */

const BLOCK = 65535; // bytes in a stored deflate block

/**
 * @param {{width: number, height: number, data: Uint8ClampedArray}} picture RGBA; the file has no
 *   alpha if it is 255 everywhere
 * @returns {Uint8Array}
 */
export function png({ width, height, data }) {
  const samples = data.every((value, i) => i % 4 < 3 || value === 255) ? 3 : 4;
  const rows = [];
  data.forEach((value, i) => {
    if (i % (4 * width) === 0) rows.push(0); // no filter
    if (i % 4 < samples) rows.push(value);
  });
  const head = [...uint32(width), ...uint32(height), 8, samples > 3 ? 6 : 2, 0, 0, 0];
  const chunks = [chunk("IHDR", head), chunk("IDAT", store(rows)), chunk("IEND", [])];
  return Uint8Array.from([137, ...charCodes("PNG\r\n\x1a\n"), ...chunks.flat()]);
}

/** @returns {string} a data URL of the same file */
export function pngDataURL(picture) {
  const letters = Array.from(png(picture), (byte) => String.fromCharCode(byte));
  return `data:image/png;base64,${btoa(letters.join(""))}`;
}

/** A zlib stream of stored blocks. */
function store(bytes) {
  const out = [0x78, 1];
  let low = 1, high = 0;
  bytes.forEach((byte, i) => {
    if (i % BLOCK === 0) {
      const size = Math.min(BLOCK, bytes.length - i);
      out.push(i + size < bytes.length ? 0 : 1, size & 255, size >> 8, ~size & 255, (~size >> 8) & 255);
    }
    out.push(byte);
    low = (low + byte) % 65521;
    high = (high + low) % 65521;
  });
  return out.concat(uint32(high * 65536 + low));
}

function chunk(type, bytes) {
  const typed = charCodes(type).concat(bytes);
  let crc = -1;
  for (const byte of typed) {
    crc ^= byte;
    for (let k = 0; k < 8; k++) crc = crc & 1 ? 0xedb88320 ^ (crc >>> 1) : crc >>> 1;
  }
  return uint32(bytes.length).concat(typed, uint32(~crc));
}

const charCodes = (text) => Array.from(text, (letter) => letter.charCodeAt(0));

const uint32 = (value) => [24, 16, 8, 0].map((shift) => (value >>> shift) & 255);
