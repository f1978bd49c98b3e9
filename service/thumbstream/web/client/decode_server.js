/**
 * Pictures of streams that only a service can decode: `POST /decode`. docs/http.md of the service.
 *
 * The module is fetched when it is needed, and takes what it shares with other modules as an argument.
 */

import { readPNG } from "./png_reader.js";

/**
 * As `decode` of decode.js.
 *
 * @param {object} shared
 * @param {Uint8Array} stream
 * @param {string | URL} decoder address of a service's `/decode`
 * @param {AbortSignal} [signal]
 * @returns {Promise<import("./index.js").Picture>}
 * @throws {import("./fetch.js").ResponseError} the response is not a picture
 */
export async function decodeOnServer(shared, stream, decoder, signal) {
  const { ResponseError, absoluteURL, meanColor, parseHeader } = shared;
  const url = new URL(absoluteURL(decoder));
  url.searchParams.set("format", "png");
  // Without a content type, a request to another host needs no preflight.
  const response = await fetch(url, { method: "POST", body: stream, signal });
  const picture = await readPNG(response, shared).catch(() => {
    signal?.throwIfAborted();
    throw new ResponseError(response, "a PNG file");
  });
  const { aspectRatio } = parseHeader(stream);
  return { ...picture, aspectRatio, averageColor: meanColor(picture.data) };
}
