/**
 * Previews of one stream, decoded in this browser if the client has the weights of its model, or else
 * by the service.
 */

import { read } from "./pictures.js";
import { ROOT, client, decode } from "./service.js";

/**
 * @param {{id: string | null, length: number, stream?: Uint8Array}} answer id: of the stored stream;
 *   length: of the complete stream
 * @returns {{previewOf: (bytes: number, signal: AbortSignal) => Promise<ImageData>,
 *   opened: Promise<Uint8Array | null>}} previewOf: of the first bytes; opened: the complete stream, null
 *   if the service decodes it
 */
export function previewsOf({ id, length, stream }) {
  const open = async () => {
    const { averageColor, decodeInBackground, fetchThumb } = await client();
    const complete = stream ?? (await fetchThumb(`${ROOT}/thumb/${id}`));
    if (complete.length < length) return null; // the response was interrupted
    averageColor(complete); // throws for other models before the weights are fetched
    await decodeInBackground(complete);
    return {
      complete,
      decodeLocally: async (bytes) => {
        const { data, width, height } = await decodeInBackground(complete.subarray(0, bytes));
        return new ImageData(data, width, height);
      },
    };
  };
  const opening = open().catch((error) => {
    if (id) return null;
    throw error; // the service has no stream to decode
  });
  opening.catch(() => {}); // reported by the first preview
  return {
    opened: opening.then((local) => local?.complete ?? null).catch(() => null),
    previewOf: async (bytes, signal) => {
      const local = await opening;
      signal.throwIfAborted();
      return local ? local.decodeLocally(bytes) : read(await decode(id, bytes, signal));
    },
  };
}
