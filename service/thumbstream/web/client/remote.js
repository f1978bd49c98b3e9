/**
 * Pictures of streams that only a service can decode: `POST /decode`. docs/http.md of the service.
 *
 * It is fetched when it is first needed, and handed what it shares with the modules that are there.
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
 * @throws {import("./fetch.js").ResponseError} the service does not decode it
 */
export async function askFor(shared, stream, decoder, signal) {
  const { addressOf, averageOf, parseHeader, ResponseError } = shared;
  const url = new URL(addressOf(decoder));
  url.searchParams.set("format", "png");
  // Of these bytes alone, and without a type: a request to another host that needs no preflight.
  const response = await fetch(url, { method: "POST", body: stream.slice(), signal });
  if (!response.ok) throw new ResponseError(response);
  const picture = await readPNG(new Uint8Array(await response.arrayBuffer()));
  const { width, height, data } = picture;
  const { aspectRatio } = parseHeader(stream);
  return { ...picture, aspectRatio, averageColor: averageOf(data, width, height) };
}
