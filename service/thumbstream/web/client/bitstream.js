/**
 * The container: a header of one to three bytes, then range-coded decisions to the end.
 *
 * There are no length fields, so truncation is slicing. docs/bitstream.md, "Header".
 */

import { BitstreamError } from "./errors.js";

const SIDE_STEP = 8;
const SHORT_FORM_SIDE = 32; // pixels: pictures with this long side have headers of one byte
const PRODUCT = 7; // the bitstream that has the other short forms as well
const SHAPES = 0x3f;
const ASPECTS = 0x7e;
const RESERVED = 0x96;
const COMPACT = 0xa0;
const ALPHA = 0xc0;
const EXTENDED = 0xe0;
const RATIOS = [
  [3, 2], [5, 4], [7, 5], [5, 3], [6, 5], [21, 9],
  [9, 5], [11, 9], [10, 7], [11, 8], [13, 9], [185, 100],
];

/**
 * Read the header of a stream or of any prefix of one. In a cut header, what is missing has its
 * default: a square of the long side, and no bitstream id.
 *
 * @param {Uint8Array} stream
 * @returns {{bitstreamId: number | null, width: number, height: number, length: number,
 *   alpha: boolean, aspectRatio: number}} pixels; bytes of the header that are there; width to
 *   height of what is shown, exact where the header names it
 * @throws {BitstreamError}
 */
export function parseHeader(stream) {
  const [first] = stream;
  if (first === undefined) throw new BitstreamError("the stream is empty");
  if (first >= RESERVED && first < COMPACT) throw new BitstreamError(`first byte ${first} is reserved`);
  let long = SHORT_FORM_SIDE, short, portrait = false;
  let bitstreamId = PRODUCT;
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
    const flags = size > 2 ? stream[1] : PRODUCT; // the short form leaves out what it implies
    bitstreamId = flags === undefined ? null : flags & 127;
    const shorter = long === SHORT_FORM_SIDE && (bitstreamId === 0 || bitstreamId === PRODUCT);
    if (!alpha && (shorter || (size > 2 && flags === PRODUCT))) {
      throw new BitstreamError("a header has a shorter form");
    }
    if (size <= stream.length) {
      short = stream[size - 1] + 1;
      portrait = flags > 127;
    }
  }
  if (short > long || (portrait && short === long)) {
    throw new BitstreamError(`impossible shape: ${short} to ${long}`);
  }
  const [width, height] = portrait ? [short, long] : [long, short];
  const [across, down] = ratio ?? [long, short];
  const aspectRatio = portrait ? down / across : across / down;
  const length = Math.min(size, stream.length);
  return { bitstreamId, width, height, length, alpha, aspectRatio };
}
