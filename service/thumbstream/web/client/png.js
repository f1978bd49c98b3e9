/** Writes PNG files in memory, without a canvas, so it runs anywhere. Pixels are not compressed. */

const BLOCK = 65535; // bytes in a stored deflate block
const OVERHEAD = 12; // bytes of a chunk besides its contents

/**
 * @param {{width: number, height: number, data: Uint8ClampedArray}} picture RGBA; the file has no
 *   alpha if it is 255 everywhere
 * @returns {Uint8Array}
 */
export function png({ width, height, data }) {
  let samples = 3;
  for (let i = 3; i < data.length; i += 4) if (data[i] < 255) samples = 4;
  const size = height * (1 + samples * width);
  const blocks = Math.ceil(size / BLOCK);
  const file = new Uint8Array(8 + 13 + size + 5 * blocks + 6 + 3 * OVERHEAD);
  let position = 0;
  const put = (...bytes) => {
    for (const byte of bytes) file[position++] = byte;
  };
  const chunk = (type, length, write) => {
    put(...uint32(length));
    const start = position;
    for (const letter of type) put(letter.charCodeAt(0));
    write();
    put(...uint32(~crcOf(file.subarray(start, position))));
  };
  put(137, 80, 78, 71, 13, 10, 26, 10);
  chunk("IHDR", 13, () => put(...uint32(width), ...uint32(height), 8, samples > 3 ? 6 : 2, 0, 0, 0));
  chunk("IDAT", size + 5 * blocks + 6, () => {
    put(0x78, 1);
    let low = 1, high = 0, left = 0, written = 0;
    const store = (byte) => {
      if (!left--) {
        left = Math.min(BLOCK, size - written) - 1;
        put(written + left + 1 < size ? 0 : 1, left + 1, (left + 1) >> 8, ~(left + 1), ~(left + 1) >> 8);
      }
      file[position++] = byte;
      written++;
      low = (low + byte) % 65521;
      high = (high + low) % 65521;
    };
    for (let i = 0; i < data.length; i++) {
      if (i % (4 * width) === 0) store(0); // no filter
      if (i % 4 < samples) store(data[i]);
    }
    put(...uint32(high * 65536 + low));
  });
  chunk("IEND", 0, () => {});
  return file;
}

/** @returns {string} a data URL of the same file */
export function pngDataURL(picture) {
  let text = "";
  for (const byte of png(picture)) text += String.fromCharCode(byte);
  return `data:image/png;base64,${btoa(text)}`;
}

let table;

function crcOf(bytes) {
  table ??= Int32Array.from({ length: 256 }, (_, crc) => {
    for (let k = 0; k < 8; k++) crc = crc & 1 ? 0xedb88320 ^ (crc >>> 1) : crc >>> 1;
    return crc;
  });
  let crc = -1;
  for (const byte of bytes) crc = table[(crc ^ byte) & 255] ^ (crc >>> 8);
  return crc;
}

const uint32 = (value) => [24, 16, 8, 0].map((shift) => (value >>> shift) & 255);
