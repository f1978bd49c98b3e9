/** Distributes the bytes of the page between its pictures. */

import { ROOT } from "./service.js";

/**
 * The same number of bytes for each stream.
 * @param {{id: string, length: number}[]} streams length: bytes of the complete stream
 * @param {number} total bytes of the page
 * @returns {Map<string, number>} id to bytes
 */
export function equalShares(streams, total) {
  const each = Math.floor(total / Math.max(1, streams.length));
  return new Map(streams.map(({ id, length }) => [id, Math.min(each, length)]));
}

/**
 * The distribution of `POST /budget`, or equal shares if a stream is not stored or has no curve, or if
 * the request fails.
 * @param {{id: string, length: number}[]} streams
 * @param {number} total bytes of the page
 * @param {AbortSignal} signal
 * @returns {Promise<{bytes: Map<string, number>, planned: boolean}>}
 */
export async function distribute(streams, total, signal) {
  const ids = streams.map(({ id }) => id);
  const shares = { bytes: equalShares(streams, total), planned: false };
  if (streams.some(({ isStored }) => isStored === false)) return shares;
  try {
    const body = JSON.stringify({ ids, total_bytes: total });
    const response = await fetch(`${ROOT}/budget`, { method: "POST", body, signal });
    if (!response.ok) return shares;
    const { thumbs } = await response.json();
    if (!ids.every((id) => thumbs[id])) return shares;
    return { bytes: new Map(ids.map((id) => [id, thumbs[id].bytes])), planned: true };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof TypeError || error instanceof SyntaxError) return shares; // the request failed
    throw error;
  }
}
