/** Decodes streams of the published model. Its weights are fetched with the first stream. */

import { load } from "./load.js";

let loading;

/**
 * @param {Uint8Array} stream
 * @param {import("./index.js").LoadOptions} [options] used by the first call
 * @returns {Promise<import("./index.js").Picture>}
 */
export async function decodeLocally(stream, options) {
  loading ??= load(options).catch((error) => {
    loading = null; // the next call tries again
    throw error;
  });
  return (await loading).decode(stream);
}
