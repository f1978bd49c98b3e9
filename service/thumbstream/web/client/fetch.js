/**
 * Fetches streams over HTTP: a prefix now, the rest of it later.
 *
 * The bytes of an address are cached, and only those after them are requested, with `Range`. Any
 * prefix is a picture, so an interrupted response counts as far as it arrived.
 */

import { streamBytes } from "./bytes.js";
import {
  EMPTY, MAX_STREAM_BYTES, ResponseError, absoluteURL, cache, checkResponse, lastValue, put,
  readPrefixes, shared,
} from "./fetch_cache.js";

export { ResponseError };

/** @type {import("./fetch.js").fetchThumb} */
export async function fetchThumb(url, options = {}) {
  return (await lastValue(prefixes(url, options), options.signal)) ?? EMPTY;
}

/** @type {import("./fetch.js").fetchThumbs} */
export async function fetchThumbs(...request) {
  const { fetchMany } = await import("./fetch_many.js"); // rarely needed
  return fetchMany(shared, ...request);
}

/** @type {import("./fetch.js").prefixes} */
export async function* prefixes(url, { bytes = Infinity, start = EMPTY, signal } = {}) {
  const href = absoluteURL(url);
  const cached = cache.get(href) ?? { bytes: EMPTY };
  const known = streamBytes(start);
  const initial = known.length > cached.bytes.length ? known : cached.bytes;
  const from = initial.length;
  const enough = cached.isComplete || from >= bytes;
  const range = `bytes=${from}-${bytes < Infinity ? bytes - 1 : ""}`;
  const headers = range === "bytes=0-" ? {} : { Range: range };
  const request = enough ? null : fetch(href, { headers, signal });
  request?.catch(() => {}); // it is awaited after the caller has used the first bytes
  if (from) yield initial.slice(0, bytes);
  if (enough) return;

  const response = await request;
  if (response.status === 416 && from) {
    return put(href, { ...cached, bytes: initial, isComplete: true });
  }
  const part = response.status === 206;
  const [, first] = /^bytes (\d+)/.exec(response.headers.get("Content-Range")) ?? [0, from];
  checkResponse(response, !part || +first === from);
  const etag = response.headers.get("ETag");
  if (part && cached.etag && etag && etag !== cached.etag) {
    put(href, { bytes: EMPTY }, true); // another stream has taken this address
    return yield* prefixes(href, { bytes, signal });
  }
  const limit = Math.min(bytes, MAX_STREAM_BYTES);
  let body = part ? initial : EMPTY; // a server without ranges starts over
  let yielded = from;
  for await (body of readPrefixes(response, body, limit)) {
    put(href, { bytes: body, etag });
    const prefix = body.slice(0, limit);
    if (prefix.length > yielded) yield prefix;
    yielded = Math.max(yielded, prefix.length);
  }
  checkResponse(response, body.length > 0);
  if (body.length < limit) put(href, { bytes: body.slice(), etag, isComplete: true });
}
