/** Streams over HTTP, and prefixes of them. */

/** What to fetch of one stream. */
export interface ThumbOptions {
  /** At most so many bytes; by default the whole stream. */
  bytes?: number;
  /** First bytes that are there already, for example inlined in the page: they are not asked for. */
  start?: Uint8Array;
  /** Gives up fetching. What has come is not asked for again. */
  signal?: AbortSignal;
}

/**
 * The first bytes of a stream. What has come from an address is remembered, and the next call asks
 * with `Range` for what is behind it only.
 *
 * An answer that breaks off counts as far as it came: a prefix is a picture. Rejects when there is
 * nothing at all (`ResponseError`, or as `fetch` does), and with the reason of the signal.
 */
export function fetchThumb(url: string | URL, options?: ThumbOptions): Promise<Uint8Array<ArrayBuffer>>;

/**
 * The same as it comes: ever longer prefixes, those at once that are there. The request is under
 * way while the first of them is looked at. Throws behind the last one what ended it early.
 */
export function prefixes(
  url: string | URL,
  options?: ThumbOptions,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, void>;

/**
 * Streams of a whole page by id, in few requests; unknown ones are left out.
 *
 * `budget` is the bytes for all of them together, which the service shares out so that the page
 * looks best (`POST /budget`), or `{bytes}` for each; `{}` brings whole streams. `base` is where the
 * service is, by default the root of the page's own host. `fetchThumb` and `<thumb-stream>`
 * do not ask again for what came.
 */
export function fetchThumbs(
  ids: readonly string[],
  budget: number | { bytes?: number },
  options?: { base?: string | URL; signal?: AbortSignal },
): Promise<Map<string, Uint8Array<ArrayBuffer>>>;

/** An answer that brings no stream. */
export class ResponseError extends Error {
  /** Of HTTP. */
  status: number;
  constructor(response: Pick<Response, "status" | "url">);
}
