/** ThumbHash of a picture, and its preview on the same grid as the others. */

import { gridOf, reduce } from "./pictures.js";
import * as format from "./thumbhash_format.js";

const GAP = 2; // a hash has low frequencies only: what halving blurs is not in it

/** @param {ImageBitmap} bitmap @param {boolean} alpha @returns {Uint8Array} */
export function encode(bitmap, alpha) {
  const { width, height, data } = reduce(bitmap, gridOf(bitmap, format.MAX_SIDE), alpha, GAP);
  return format.encode(width, height, data);
}

/** @param {Uint8Array} hash @param {{width: number, height: number}} grid @returns {ImageData} */
export function decode(hash, { width, height }) {
  const { rgba } = format.decode(hash, { width, height });
  return new ImageData(new Uint8ClampedArray(rgba), width, height);
}
