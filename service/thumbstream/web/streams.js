/**
 * Previews of one stream, decoded in this browser if the client has the weights of its model, or else
 * by the service.
 */

import { read } from "./pictures.js";
import { ROOT, decode } from "./service.js";

const CLIENT = `${ROOT}/client/`;

/**
 * @param {string} id @param {number} length bytes of the complete stream
 * @returns {(bytes: number, signal: AbortSignal) => Promise<ImageData>} of the first bytes
 */
export function previewsOf(id, length) {
  const open = async () => {
    const client = await import(`${CLIENT}element.min.js`);
    const { averageColor, decodeInBackground, fetchThumb } = client;
    const stream = await fetchThumb(`${ROOT}/thumb/${id}`);
    if (stream.length < length) return null; // the response was interrupted
    averageColor(stream); // throws for other models before the weights are fetched
    await decodeInBackground(stream);
    return async (bytes) => {
      const { data, width, height } = await decodeInBackground(stream.subarray(0, bytes));
      return new ImageData(data, width, height);
    };
  };
  let opening;
  return async (bytes, signal) => {
    opening ??= open().catch(() => null);
    const decodeLocally = await opening;
    signal.throwIfAborted();
    return decodeLocally ? decodeLocally(bytes) : read(await decode(id, bytes, signal));
  };
}
