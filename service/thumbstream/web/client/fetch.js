/**
 * Bytes of a stream over HTTP: a prefix now, the rest of it later.
 *
 * What has come from an address is kept, and only what is behind it is asked for, with `Range`.
 * Any prefix is a picture, so an answer that breaks off counts as far as it came.
 */

import { NONE, ResponseError, addressOf, growing, keep, kept, latest } from "./fetch_kept.js";

export { ResponseError };

/** @type {import("./fetch.js").fetchThumb} */
export async function fetchThumb(url, options = {}) {
  return latest(prefixes(url, options), options.signal);
}

/** @type {import("./fetch.js").fetchThumbs} */
export async function fetchThumbs(...request) {
  const { fetchMany } = await import("./fetch_many.js"); // most pages never need it
  return fetchMany({ ResponseError, addressOf, growing, keep, latest }, ...request);
}

/** @type {import("./fetch.js").prefixes} */
export async function* prefixes(url, { bytes = Infinity, start = NONE, signal } = {}) {
  const href = addressOf(url);
  const known = kept.get(href) ?? { bytes: NONE };
  const have = start.length > known.bytes.length ? start : known.bytes;
  const from = have.length;
  const enough = known.whole || from >= bytes;
  const range = `bytes=${from}-${bytes < Infinity ? bytes - 1 : ""}`;
  const headers = range === "bytes=0-" ? {} : { Range: range };
  const asking = enough ? null : fetch(href, { headers, signal });
  asking?.catch(() => {}); // it is awaited later, when the first bytes have been dealt with
  if (from) yield have.slice(0, bytes);
  if (enough) return;

  const response = await asking;
  if (response.status === 416 && from) return keep(href, { ...known, bytes: have, whole: true });
  const part = response.status === 206;
  const [, first] = /^bytes (\d+)/.exec(response.headers.get("Content-Range")) ?? [0, from];
  if (!response.ok || (part && +first !== from)) throw new ResponseError(response);
  const etag = response.headers.get("ETag");
  if (part && known.etag && etag && etag !== known.etag) {
    kept.delete(href); // another stream has come to this address
    return yield* prefixes(href, { bytes, signal });
  }
  let got = part ? have : NONE; // a server without ranges begins again
  let shown = from;
  for await (got of growing(response, got, bytes)) {
    keep(href, { bytes: got, etag });
    const prefix = got.slice(0, bytes);
    if (prefix.length > shown) yield prefix;
    shown = Math.max(shown, prefix.length);
  }
  if (!got.length) throw new ResponseError(response);
  if (got.length < bytes) keep(href, { bytes: got, etag, whole: true });
}
