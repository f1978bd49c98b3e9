/** The published weights in browsers: client.bin from Cache Storage, or else from the network. */

import { NAME, PREFIX, hasCachedWeights } from "./weights_cache.js";

const KEY = "/client.bin";

/** @param {RequestInit} options @returns {Promise<Response>} */
export async function fetchWeights(options) {
  const cached = (await hasCachedWeights()) && (await (await caches.open(NAME)).match(KEY));
  const url = new URL("./client.bin", import.meta.url);
  return cached || fetch(url, { ...options, priority: "low" });
}

/** Keep these weights, which were checked, and no others. @param {Uint8Array} bytes */
export async function keepWeights(bytes) {
  try {
    if (await hasCachedWeights()) return;
    await (await caches.open(NAME)).put(KEY, new Response(bytes));
    for (const name of await caches.keys()) {
      if (name.startsWith(PREFIX) && name !== NAME) await caches.delete(name);
    }
  } catch {
    // The next page fetches them again.
  }
}
