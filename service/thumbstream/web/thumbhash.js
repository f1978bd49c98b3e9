/** ThumbHash of a picture, and its preview on the same grid as the others. */

import { gridOf, reduce } from "./pictures.js";
import { resample } from "./resample.js";
import { rgbaToThumbHash, thumbHashToRGBA } from "./thumbhash.min.js";

const MAX_SIDE = 100; // pixels, the limit of the format

/** @param {ImageBitmap} bitmap @param {boolean} alpha @returns {Uint8Array} */
export function encode(bitmap, alpha) {
  const { width, height, data } = reduce(bitmap, gridOf(bitmap, MAX_SIDE), alpha);
  return rgbaToThumbHash(width, height, data);
}

/** @param {Uint8Array} hash @param {{width: number, height: number}} grid @returns {ImageData} */
export function decode(hash, { width, height }) {
  const { w, h, rgba } = thumbHashToRGBA(hash);
  const picture = { width: w, height: h, data: new Uint8ClampedArray(rgba) };
  return new ImageData(resample(picture, width, height), width, height);
}
