/** Pictures of streams of the published model, whose weights are fetched when they are first needed. */

import { load } from "./load.js";

let loading;

/**
 * As `decode` of decode.js, without a service.
 *
 * @param {Uint8Array} stream
 * @param {import("./index.js").LoadOptions} [options] of the first call
 */
export async function decode(stream, options) {
  loading ??= load(options).catch((error) => {
    loading = null; // it is tried again
    throw error;
  });
  return (await loading).decode(stream);
}
