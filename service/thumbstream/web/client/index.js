/**
 * thumbstream in the browser, and in Node: pictures from streams and from any prefix of them.
 *
 * `averageColor` and `aspectRatio` answer at once; `decode` and `toDataURL` fetch the weights when
 * they are first called, and only then. `load` gives a decoder that never waits.
 */

import { parseHeader } from "./bitstream.js";
import { decode } from "./decode.js";

export { averageColor } from "./colour.js";
export { BitstreamError, WeightsError } from "./errors.js";
export { ResponseError, fetchThumb, fetchThumbs } from "./fetch.js";
export { load } from "./load.js";
export { decode };

/** @type {import("./index.js").aspectRatio} */
export const aspectRatio = (stream) => parseHeader(stream).aspectRatio;

/** @type {import("./index.js").toDataURL} */
export async function toDataURL(stream, options) {
  const { pngDataURL } = await import("./png.js");
  return pngDataURL(await decode(stream, options));
}
