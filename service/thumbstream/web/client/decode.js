/**
 * Decodes streams: those of the published model locally, those of other models by a service if its
 * address is given.
 */

import { parseHeader } from "./bitstream.js";
import { streamBytes } from "./bytes.js";
import { decodeLocally } from "./decode_local.js";
import { shared } from "./fetch_cache.js";
import { meanColor } from "./pixels.js";
import { BITSTREAM_ID } from "./model.js";

/** Whether the bytes name a model whose weights this client does not have. */
export const needsService = (stream) =>
  (parseHeader(stream).bitstreamId ?? BITSTREAM_ID) !== BITSTREAM_ID;

/** @type {import("./index.js").decode} */
export async function decode(stream, { decoder, signal } = {}) {
  const bytes = streamBytes(stream).slice(); // the caller may change its array meanwhile
  if (decoder && needsService(bytes)) {
    const { decodeOnServer } = await import("./decode_server.js"); // rarely needed
    return decodeOnServer({ ...shared, meanColor, parseHeader }, bytes, decoder, signal);
  }
  return decodeLocally(bytes);
}
