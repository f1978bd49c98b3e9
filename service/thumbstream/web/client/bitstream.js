/**
 * The container: a header of one to three bytes, then range-coded decisions to the end.
 *
 * There are no length fields, so a truncated stream is a slice. docs/bitstream.md, "Header".
 */

import { BitstreamError } from "./errors.js";

const THUMBSTREAM_BITSTREAM = 8; // the format with short headers for all shapes
const SIDE_STEP = 8;
const SHORT_FORM_SIDE = 32; // pixels: pictures with this long side have a header of one byte
const SHORT_CODE_SIDE = 128; // pixels: up to here a shape code has one byte
const SHAPES = 63; // of pictures with the long side 32; then come aspect ratios
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
  let long = SHORT_FORM_SIDE, shape = first, size = 1;
  let bitstreamId = first < SHAPES ? 0 : THUMBSTREAM_BITSTREAM;
  const alpha = first >= ALPHA && first < EXTENDED;
  if (first >= COMPACT) {
    long = SIDE_STEP * ((first & 31) + 1);
    shape = long - 1; // until all bytes are known
    size = long > SHORT_CODE_SIDE || first >= EXTENDED ? 3 : 2;
    const complete = size <= stream.length;
    if (first < EXTENDED) {
      check(alpha || long !== SHORT_FORM_SIDE);
      if (complete) shape = size > 2 ? stream[1] * 256 + stream[2] : stream[1];
    } else {
      const flags = stream[1];
      bitstreamId = flags === undefined ? null : flags & 127;
      check(bitstreamId !== THUMBSTREAM_BITSTREAM);
      check(bitstreamId !== 0 || long !== SHORT_FORM_SIDE); // that has a shorter header
      if (complete) {
        check(stream[2] < long);
        shape = stream[2] + (flags > 127 ? long : 0);
      }
    }
  } else if (bitstreamId) shape -= SHAPES;
  let ratio;
  const aspect = shape - SHAPES;
  if (bitstreamId && long === SHORT_FORM_SIDE && aspect >= 0 && first < EXTENDED) {
    ratio = RATIOS[aspect % RATIOS.length];
    check(aspect < 2 * RATIOS.length);
    const short = Math.round((SHORT_FORM_SIDE * ratio[1]) / ratio[0]);
    shape = short - 1 + (aspect < RATIOS.length ? 0 : long);
  }
  check(shape < 2 * long - 1);
  const portrait = shape >= long;
  const short = (shape % long) + 1;
  const [width, height] = portrait ? [short, long] : [long, short];
  const [across, down] = ratio ?? [long, short];
  const aspectRatio = portrait ? down / across : across / down;
  const length = Math.min(size, stream.length);
  return { bitstreamId, width, height, length, alpha, aspectRatio };
}
