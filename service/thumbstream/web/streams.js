/**
 * Previews of one stream: decoded in this browser where its client knows the model that made the
 * stream, else by the service.
 */

import { read } from "./pictures.js";
import { decode } from "./service.js";

const CLIENT = "/client/";

/**
 * @param {string} id @param {number} length bytes of the whole stream
 * @returns {(bytes: number, signal: AbortSignal) => Promise<ImageData>} of the first bytes
 */
export function previewsOf(id, length) {
  const open = async () => {
    const client = await import(`${CLIENT}element.min.js`);
    const { averageColor, decodeInBackground, fetchThumb } = client;
    const stream = await fetchThumb(`/thumb/${id}`);
    if (stream.length < length) return null; // the answer broke off
    averageColor(stream); // refuses other models before the weights are fetched
    await decodeInBackground(stream);
    return async (bytes) => {
      const { data, width, height } = await decodeInBackground(stream.subarray(0, bytes));
      return new ImageData(data, width, height);
    };
  };
  let opening;
  return async (bytes, signal) => {
    opening ??= open().catch(() => null);
    const here = await opening;
    signal.throwIfAborted();
    return here ? here(bytes) : read(await decode(id, bytes, signal));
  };
}
