/**
 * The WebP file of a picture for a number of bytes.
 *
 * Encoders take a quality, not a size, and a higher quality does not always give a longer file. A
 * thumbnail is tiny, so it is encoded once with every quality, and the best file is chosen.
 */

const RIFF_HEADER = 12; // bytes: "RIFF", length of the rest, "WEBP"
const CHUNK_HEADER = 8; // bytes: name, length
const ALPHA_FLAG = 0x10; // of the extended header's first byte

/** 0, 0.01, .. 0.99; at 1 some browsers switch to lossless coding. */
export const QUALITIES = Array.from({ length: 100 }, (_, i) => i / 100);

/**
 * Every distinct file length, ascending, each with the highest quality that gives it.
 * @param {(quality: number) => Promise<Blob>} encode
 * @returns {Promise<{bytes: number, quality: number, blob: Blob}[]>} empty without a WebP encoder
 */
export async function encodeAll(encode, qualities = QUALITIES) {
  const byLength = new Map();
  for (const quality of qualities) {
    const blob = await encode(quality);
    if (blob.type !== "image/webp") return []; // browsers without WebP return PNG
    const file = stripMetadata(new Uint8Array(await blob.arrayBuffer()));
    byLength.set(file.length, {
      bytes: file.length,
      quality,
      blob: new Blob([file], { type: "image/webp" }),
    });
  }
  return [...byLength.values()].sort((a, b) => a.bytes - b.bytes);
}

/** The chunks of a file by name, each with its header and padding (RFC 9649). */
function chunksOf(file) {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const chunks = new Map();
  for (let at = RIFF_HEADER; at + CHUNK_HEADER <= file.length; ) {
    const name = String.fromCharCode(...file.subarray(at, at + 4));
    const size = CHUNK_HEADER + view.getUint32(at + 4, true);
    const end = at + size + (size % 2);
    chunks.set(name, file.subarray(at, end));
    at = end;
  }
  return chunks;
}

/**
 * The file without metadata: some browsers add a color profile of several hundred bytes. An opaque
 * picture needs one chunk, a lossy picture with alpha the extended header, the alpha and the color.
 * @param {Uint8Array} file @returns {Uint8Array<ArrayBuffer>}
 */
export function stripMetadata(file) {
  const chunks = chunksOf(file);
  const picture = chunks.get("VP8 ") ?? chunks.get("VP8L");
  if (!picture) throw new RangeError("expected a WebP file, got one without a picture");
  const chunksToKeep = [picture];
  if (chunks.has("ALPH")) {
    const header = Uint8Array.from(chunks.get("VP8X"));
    header[CHUNK_HEADER] = ALPHA_FLAG; // the other chunks are removed
    chunksToKeep.unshift(header, chunks.get("ALPH"));
  }
  const length = chunksToKeep.reduce((sum, chunk) => sum + chunk.length, RIFF_HEADER);
  const out = new Uint8Array(length);
  out.set(file.subarray(0, RIFF_HEADER));
  new DataView(out.buffer).setUint32(4, length - 8, true); // what follows the first 8 bytes
  let at = RIFF_HEADER;
  for (const chunk of chunksToKeep) {
    out.set(chunk, at);
    at += chunk.length;
  }
  return out;
}

/** The longest file of at most `budget` bytes, or else the shortest one. */
export function pick(files, budget) {
  return files.findLast((file) => file.bytes <= budget) ?? files[0];
}
