/** Streams over HTTP, and prefixes of them. */

/** What to fetch of a stream. */
export interface ThumbOptions {
  /** Length of the prefix, by default the complete stream. */
  bytes?: number;
  /** First bytes that are known already, for example inlined in the page; they are not requested. */
  start?: Uint8Array | string;
  /** Aborts the request. The bytes that arrived stay in the cache. */
  signal?: AbortSignal;
}

/**
 * The first bytes of a stream. They are cached by address, and the next call requests only the bytes
 * after them, with `Range`. Of an endless response 256 KB are read.
 *
 * An interrupted response counts as far as it arrived: a prefix is a picture. Rejects if no byte
 * arrived (with `ResponseError`, or as `fetch` does), and with the reason of the signal.
 */
export function fetchThumb(url: string | URL, options?: ThumbOptions): Promise<Uint8Array<ArrayBuffer>>;

/**
 * The same as the bytes arrive: longer and longer prefixes, known bytes first. The request is sent
 * before the first prefix is returned. Throws the error that interrupted it after the last prefix.
 */
export function prefixes(
  url: string | URL,
  options?: ThumbOptions,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, void>;

/**
 * The streams of a page by id, in few requests. Unknown ids are missing in the result.
 *
 * `budget` is the number of bytes for all streams together, which the service distributes so that the
 * page looks best (`POST /budget`), or `{bytes}` for each stream; `{}` fetches complete streams.
 * `base` is the address of the service, by default the root of the page's host. The streams are in
 * the cache of `fetchThumb` and of `data-thumb-src` afterwards.
 */
export function fetchThumbs(
  ids: readonly string[],
  budget: number | { bytes?: number },
  options?: { base?: string | URL; signal?: AbortSignal },
): Promise<Map<string, Uint8Array<ArrayBuffer>>>;

/** A response that is not what was expected: an error status, or another content type. */
export class ResponseError extends Error {
  /** The status of the response. */
  status: number;
  constructor(response: Pick<Response, "status" | "url" | "headers">, expected?: string);
}
