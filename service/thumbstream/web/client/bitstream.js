/**
 * The container: a header of one to three bytes, then range-coded decisions to the end.
 *
 * There are no length fields, so a truncated stream is a slice. docs/bitstream.md, "Header".
 */

import { BitstreamError } from "./errors.js";

const THUMBSTREAM_BITSTREAM = 7; // the format with short headers for all shapes
const SIDE_STEP = 8;
const SHORT_FORM_SIDE = 32; // pixels: pictures with this long side have a header of one byte
const SHAPES = 0x3f;
const ASPECTS = 0x7e;
const RESERVED = 0x96;
const COMPACT = 0xa0;
const ALPHA = 0xc0;
const EXTENDED = 0xe0;
export const RATIOS = [
  [3, 2], [5, 4], [7, 5], [5, 3], [6, 5], [21, 9],
  [9, 5], [11, 9], [10, 7], [11, 8], [13, 9], [185, 100],
];

/**
 * Read the header of a stream or of any prefix of one. Missing bytes of a truncated header have
 * defaults: a square of the long side, and no bitstream id.
 *
 * @param {Uint8Array} stream
 * @returns {{bitstreamId: number | null, width: number, height: number, length: number,
 *   alpha: boolean, aspectRatio: number}} width and height in pixels; the length of the header in
 *   bytes, as far as it is present; the width to height ratio, exact where the header names it
 * @throws {BitstreamError}
 */
export function parseHeader(stream) {
  const [first] = stream;
  const check = (valid) => {
    if (valid) return;
    throw new BitstreamError(`expected a stream, got ${stream.length} bytes: ${stream.slice(0, 3)}`);
  };
  check(first < RESERVED || first >= COMPACT); // also if there is no byte
  let long = SHORT_FORM_SIDE, short, portrait = false;
  let bitstreamId = THUMBSTREAM_BITSTREAM;
  let alpha = false, size = 1, ratio;
  if (first < ASPECTS) {
    if (first < SHAPES) bitstreamId = 0;
    portrait = first % SHAPES >= SHORT_FORM_SIDE;
    short = ((first % SHAPES) % SHORT_FORM_SIDE) + 1;
  } else if (first < RESERVED) {
    const code = first - ASPECTS;
    portrait = code >= RATIOS.length;
    ratio = RATIOS[code % RATIOS.length];
    short = Math.round((SHORT_FORM_SIDE * ratio[1]) / ratio[0]);
  } else {
    long = short = SIDE_STEP * ((first & 31) + 1);
    size = first < ALPHA ? 2 : 3;
    alpha = size > 2 && first < EXTENDED;
    const flags = size > 2 ? stream[1] : THUMBSTREAM_BITSTREAM; // implied by the short form
    bitstreamId = flags === undefined ? null : flags & 127;
    const hasByteForm = bitstreamId === 0 || bitstreamId === THUMBSTREAM_BITSTREAM;
    const shorter = long === SHORT_FORM_SIDE && hasByteForm; // than this header
    check(alpha || !(shorter || (size > 2 && flags === THUMBSTREAM_BITSTREAM)));
    if (size <= stream.length) {
      short = stream[size - 1] + 1;
      portrait = flags > 127;
    }
  }
  check(short < long || (short === long && !portrait));
  const [width, height] = portrait ? [short, long] : [long, short];
  const [across, down] = ratio ?? [long, short];
  const aspectRatio = portrait ? down / across : across / down;
  const length = Math.min(size, stream.length);
  return { bitstreamId, width, height, length, alpha, aspectRatio };
}
