/**
 * thumbstream in the browser, and in Node: pictures from streams and from any prefix of them.
 *
 * `averageColor` and `aspectRatio` answer at once; `decode` and `toDataURL` fetch the weights when
 * they are first called, and only then. `load` gives a decoder that never waits.
 */

import { parseHeader } from "./bitstream.js";
import { load } from "./load.js";

export { averageColor } from "./colour.js";
export { BitstreamError, WeightsError } from "./errors.js";
export { ResponseError, fetchThumb, fetchThumbs } from "./fetch.js";
export { load };

let loading;

/** @type {import("./index.js").aspectRatio} */
export const aspectRatio = (stream) => parseHeader(stream).aspectRatio;

/** @type {import("./index.js").decode} */
export async function decode(stream) {
  return (await decoder()).decode(stream);
}

/** @type {import("./index.js").toDataURL} */
export async function toDataURL(stream) {
  const { pngDataURL } = await import("./png.js");
  return pngDataURL(await decode(stream));
}

/** The decoder of the published weights; after a failure it is tried again. */
function decoder() {
  loading ??= load().catch((error) => {
    loading = undefined;
    throw error;
  });
  return loading;
}
