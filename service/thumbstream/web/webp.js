/**
 * The WebP file of a picture at a wanted number of bytes.
 *
 * An encoder takes a quality, not a size, and a higher quality does not always give a longer
 * file. A thumbnail is tiny, so the plain way is also the exact one: encode it at every quality
 * once, and choose from the list.
 */

const RIFF_HEADER = 12; // bytes: "RIFF", length of the rest, "WEBP"
const CHUNK_HEADER = 8; // bytes: name, length

/** 0, 0.01, .. 0.99; at 1 some browsers switch to lossless coding. */
export const QUALITIES = Array.from({ length: 100 }, (_, i) => i / 100);

/**
 * Every distinct file length, ascending, each with the highest quality that gives it.
 * @param {(quality: number) => Promise<Blob>} encode
 * @returns {Promise<{bytes: number, quality: number, blob: Blob}[]>} empty: no WebP encoder here
 */
export async function ladder(encode, qualities = QUALITIES) {
  const byLength = new Map();
  for (const quality of qualities) {
    const blob = await encode(quality);
    if (blob.type !== "image/webp") return []; // browsers without WebP answer with PNG
    const file = bare(new Uint8Array(await blob.arrayBuffer()));
    byLength.set(file.length, {
      bytes: file.length,
      quality,
      blob: new Blob([file], { type: "image/webp" }),
    });
  }
  return [...byLength.values()].sort((a, b) => a.bytes - b.bytes);
}

/**
 * The file without what a thumbnail does not need: some browsers add a colour profile of several
 * hundred bytes (RFC 9649: RIFF chunks, padded to even length). An opaque picture needs one chunk.
 * @param {Uint8Array} file @returns {Uint8Array<ArrayBuffer>}
 */
export function bare(file) {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  for (let at = RIFF_HEADER; at + CHUNK_HEADER <= file.length; ) {
    const name = String.fromCharCode(...file.subarray(at, at + 4));
    const size = CHUNK_HEADER + view.getUint32(at + 4, true);
    const padded = size + (size % 2);
    if (name === "VP8 " || name === "VP8L") {
      const out = new Uint8Array(RIFF_HEADER + padded);
      out.set(file.subarray(0, RIFF_HEADER));
      out.set(file.subarray(at, at + padded), RIFF_HEADER);
      new DataView(out.buffer).setUint32(4, out.length - 8, true); // what follows the first 8 bytes
      return out;
    }
    at += padded;
  }
  throw new RangeError("no picture in this WebP file");
}

/** The longest file of at most `budget` bytes; if there is none, the shortest file of all. */
export function pick(files, budget) {
  return files.findLast((file) => file.bytes <= budget) ?? files[0];
}
