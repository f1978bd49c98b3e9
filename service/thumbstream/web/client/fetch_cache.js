/**
 * Shared by the modules that fetch streams: a cache by address, bounded reading of response bodies,
 * and the error for responses that are not what was expected.
 */

const MAX_CACHE_BYTES = 2 ** 20;
/** More than any stream has; not more is read of an endless response. */
export const MAX_STREAM_BYTES = 2 ** 18;
const OTHER_TYPES = /html|json|xml|image/; // an error page, or the photograph itself

export const EMPTY = new Uint8Array();

/** Address to `{bytes, etag, isComplete}`, the least recently written first. */
export const cache = new Map();
let free = MAX_CACHE_BYTES;

/** Cache an entry, unless the cached bytes of its address are longer and not to be replaced. */
export function put(url, entry, replace) {
  const old = cache.get(url);
  if (!replace && old?.bytes.length > entry.bytes.length) return;
  cache.delete(url);
  cache.set(url, entry);
  free += (old ? old.bytes.length : -url.length) - entry.bytes.length;
  for (const [oldest, { bytes }] of cache) {
    if (free >= 0) break;
    cache.delete(oldest);
    free += oldest.length + bytes.length;
  }
}

/** A response that is not what was expected. */
export class ResponseError extends Error {
  name = "ResponseError";

  /** @param {Response} response @param {string} [expected] */
  constructor({ status, url, headers }, expected = "a stream") {
    super(`expected ${expected} from ${url}, got status ${status}, ${headers.get("Content-Type")}`);
    this.status = status;
  }
}

/** @throws {ResponseError} for an error status, a type that is not a stream's, or if not `valid` */
export function checkResponse(response, valid = true) {
  if (!valid || !response.ok || OTHER_TYPES.test(response.headers.get("Content-Type"))) {
    throw new ResponseError(response);
  }
}

/** The absolute form of an address; a relative one belongs to the page. */
export const absoluteURL = (url, base = globalThis.document?.baseURI ?? globalThis.location?.href) =>
  new URL(url, base).href;

/**
 * `start`, continued by the body as it arrives, until there are more than `limit` bytes or it ends.
 * The prefixes are views of one buffer, which doubles when it is full.
 */
export async function* readPrefixes({ body }, start = EMPTY, limit = MAX_STREAM_BYTES) {
  let buffer = start, { length } = start;
  const reader = body?.getReader();
  try {
    while (reader && length <= limit) {
      const { done, value } = await reader.read();
      if (done) return;
      const end = length + value.length;
      if (end > buffer.length) {
        const larger = new Uint8Array(2 * end);
        larger.set(buffer.subarray(0, length));
        buffer = larger;
      }
      buffer.set(value, length);
      length = end;
      yield buffer.subarray(0, length);
    }
  } finally {
    reader?.cancel().catch(() => {});
  }
}

/** The last value; an error counts only if there is none, or if the signal caused it. */
export async function lastValue(values, signal) {
  let last;
  try {
    for await (last of values);
  } catch (error) {
    if (!last || signal?.aborted) throw error;
  }
  return last;
}

/** What the separately built modules take as an argument. */
export const shared = {
  ResponseError, absoluteURL, checkResponse, lastValue, put, readPrefixes,
};
