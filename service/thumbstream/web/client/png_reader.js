/**
 * Decodes PNG files exactly and without a canvas, so it runs anywhere. It reads what a service writes:
 * 8 bits per sample, RGB or RGBA, not interlaced.
 */

const HEADER = 33; // bytes: the signature and the IHDR chunk
const CHANNELS = { 2: 3, 6: 4 }; // by color type
const SAMPLE_BITS = 8;
const MAX_BYTES = 2 ** 24; // of a file
const MAX_PIXELS = 2 ** 24;

/**
 * @param {Response} response
 * @param {typeof import("./fetch_cache.js").shared} shared
 * @returns {Promise<{width: number, height: number, data: Uint8ClampedArray<ArrayBuffer>}>} RGBA
 * @throws {Error} an error status, another kind of file, or a damaged file
 */
export async function readPNG(response, { lastValue, readPrefixes }) {
  const file = response.ok && await lastValue(readPrefixes(response, undefined, MAX_BYTES));
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const [width, height] = [view.getUint32(16), view.getUint32(20)];
  const [bits, type, , , interlaced] = file.subarray(24);
  const channels = CHANNELS[type];
  if (
    view.getUint32(0) !== 0x89504e47 || bits !== SAMPLE_BITS || !channels || interlaced ||
    width * height > MAX_PIXELS
  ) {
    throw new TypeError("unsupported file");
  }
  const packed = [];
  for (let at = HEADER; at + 8 <= file.length; ) {
    const size = view.getUint32(at);
    const name = String.fromCharCode(...file.subarray(at + 4, at + 8));
    if (name === "IDAT") packed.push(file.subarray(at + 8, at + 8 + size));
    at += size + 12; // with length, name and checksum
  }
  const rowBytes = width * channels + 1;
  const size = height * rowBytes;
  const body = new Blob(packed).stream().pipeThrough(new DecompressionStream("deflate"));
  const rows = await lastValue(readPrefixes({ body }, undefined, size));
  if (rows?.length !== size) throw new TypeError("damaged file");
  unfilter(rows, rowBytes, channels);
  const data = new Uint8ClampedArray(4 * width * height).fill(255);
  for (let i = 0; i < width * height; i++) {
    const from = i * channels + Math.floor(i / width) + 1;
    data.set(rows.subarray(from, from + channels), 4 * i);
  }
  return { width, height, data };
}

/** Undo the filter that the first byte of each row names, in place. */
function unfilter(rows, rowBytes, channels) {
  for (let i = 0; i < rows.length; i++) {
    const column = (i % rowBytes) - 1;
    if (column < 0) continue;
    const filter = rows[i - column - 1];
    const inside = column >= channels;
    const left = inside ? rows[i - channels] : 0;
    const above = rows[i - rowBytes] ?? 0;
    const corner = inside ? (rows[i - rowBytes - channels] ?? 0) : 0;
    rows[i] += [0, left, above, (left + above) >> 1, nearest(left, above, corner)][filter];
  }
}

/** The neighbor nearest to `left + above - corner`. */
function nearest(left, above, corner) {
  const [a, b, c] = [above - corner, left - corner, left + above - 2 * corner].map(Math.abs);
  return a <= b && a <= c ? left : b <= c ? above : corner;
}
