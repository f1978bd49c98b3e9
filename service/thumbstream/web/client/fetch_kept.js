/** What the ways to fetch streams share: a memory of what has come, and bodies that grow. */

const KEPT = 1000; // addresses; a stream has a few hundred bytes
export const NONE = new Uint8Array();

/** Address to `{bytes, etag, whole}`, the one that was written longest ago first. */
export const kept = new Map();

/** Keep what came from an address, if it is not less than what is there. */
export function keep(href, entry) {
  if (kept.get(href)?.bytes.length > entry.bytes.length) return;
  kept.delete(href);
  kept.set(href, entry);
  if (kept.size > KEPT) kept.delete(kept.keys().next().value);
}

/** An answer that brings no stream. */
export class ResponseError extends Error {
  name = "ResponseError";

  /** @param {Response} response */
  constructor({ status, url }) {
    super(`no stream from ${url}: status ${status}`);
    this.status = status;
  }
}

/** The absolute form of an address; relative ones are the page's. */
export const addressOf = (url, base = globalThis.document?.baseURI ?? globalThis.location?.href) =>
  new URL(url, base).href;

/** `got` and what comes behind it, until there are more than `bytes` or the body ends. */
export async function* growing({ body }, got = NONE, bytes = Infinity) {
  const reader = body.getReader();
  try {
    while (got.length <= bytes) {
      const { done, value } = await reader.read();
      if (done) return;
      yield (got = Uint8Array.from([...got, ...value]));
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** The last of growing arrays; an error counts only before the first one, or when told to stop. */
export async function latest(arrays, signal) {
  let last;
  try {
    for await (last of arrays);
  } catch (error) {
    if (!last || signal?.aborted) throw error;
  }
  return last;
}
