/**
 * PNG files to pixels, to the bit and without a canvas, so it runs anywhere: those that a service
 * writes, of 8 bits a sample, RGB or RGBA, not interlaced.
 */

const HEADER = 33; // bytes: the signature, and the chunk IHDR
const CHANNELS = { 2: 3, 6: 4 }; // by colour type
const SAMPLE_BITS = 8;

/**
 * @param {Uint8Array} file
 * @returns {Promise<{width: number, height: number, data: Uint8ClampedArray<ArrayBuffer>}>} RGBA
 * @throws {Error} it is another kind of file, or damaged
 */
export async function readPNG(file) {
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  if (file.length < HEADER || view.getUint32(0) !== 0x89504e47) throw new TypeError("no PNG file");
  const [width, height] = [view.getUint32(16), view.getUint32(20)];
  const [bits, type, , , interlaced] = file.subarray(24);
  const channels = CHANNELS[type];
  if (bits !== SAMPLE_BITS || !channels || interlaced) throw new TypeError("another kind of PNG file");
  const packed = [];
  for (let at = HEADER; at + 8 <= file.length; ) {
    const size = view.getUint32(at);
    const name = String.fromCharCode(...file.subarray(at + 4, at + 8));
    if (name === "IDAT") packed.push(file.subarray(at + 8, at + 8 + size));
    at += size + 12; // with length, name and checksum
  }
  const unpacked = new Blob(packed).stream().pipeThrough(new DecompressionStream("deflate"));
  const rows = new Uint8Array(await new Response(unpacked).arrayBuffer());
  const across = width * channels;
  if (rows.length !== height * (across + 1)) throw new TypeError("a damaged PNG file");
  unfilter(rows, across, channels);
  const data = new Uint8ClampedArray(4 * width * height).fill(255);
  for (let i = 0; i < width * height; i++) {
    const from = i * channels + Math.floor(i / width) + 1;
    data.set(rows.subarray(from, from + channels), 4 * i);
  }
  return { width, height, data };
}

/** Undo, in place, what each row's first byte names: a prediction from left, above and both. */
function unfilter(rows, across, channels) {
  for (let i = 0; i < rows.length; i++) {
    const column = (i % (across + 1)) - 1;
    if (column < 0) continue;
    const filter = rows[i - column - 1];
    const inside = column >= channels;
    const left = inside ? rows[i - channels] : 0;
    const above = rows[i - across - 1] ?? 0;
    const corner = inside ? (rows[i - across - 1 - channels] ?? 0) : 0;
    rows[i] += [0, left, above, (left + above) >> 1, nearest(left, above, corner)][filter];
  }
}

/** Of three neighbours the one nearest to `left + above - corner`. */
function nearest(left, above, corner) {
  const [a, b, c] = [above - corner, left - corner, left + above - 2 * corner].map(Math.abs);
  return a <= b && a <= c ? left : b <= c ? above : corner;
}
