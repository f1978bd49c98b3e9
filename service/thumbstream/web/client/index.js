/**
 * thumbstream for browsers and Node: pictures from streams and from any prefix of them.
 *
 * `firstLook`, `averageColor` and `aspectRatio` are synchronous; `decode` and `toDataURL` fetch the weights with
 * the first call. `load` gives a synchronous decoder.
 */

import { parseHeader } from "./bitstream.js";
import { streamBytes } from "./bytes.js";
import { decode } from "./decode.js";

export { averageColor } from "./average_color.js";
export { decodeInBackground } from "./background.js";
export { BitstreamError, WeightsError } from "./errors.js";
export { firstLook } from "./first_look.js";
export { ResponseError, fetchThumb, fetchThumbs, prefixes } from "./fetch.js";
export { load } from "./load.js";
export { decode };

/** @type {import("./index.js").aspectRatio} */
export const aspectRatio = (stream) => parseHeader(streamBytes(stream)).aspectRatio;

/** @type {import("./index.js").toDataURL} */
export async function toDataURL(stream, options) {
  const picture = await decode(stream, options);
  return (await import("./png.js")).pngDataURL(picture);
}
