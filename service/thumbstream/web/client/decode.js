/**
 * Pictures, here or by a service: whoever asks does not see which.
 *
 * Streams of the published model are decoded here. Those of others, of which browsers have no
 * weights, go to a service when its address is given, and are an error when it is not.
 */

import { averageOf } from "./average.js";
import { parseHeader } from "./bitstream.js";
import { ResponseError, addressOf } from "./fetch_kept.js";
import { decode as decodeHere } from "./local.js";
import { BITSTREAM_ID } from "./published.js";

/** Whether a stream, as far as it is known, is of a model without weights for browsers. */
export const isForeign = (stream) =>
  (parseHeader(stream).bitstreamId ?? BITSTREAM_ID) !== BITSTREAM_ID;

/** @type {import("./index.js").decode} */
export async function decode(stream, { decoder, signal } = {}) {
  if (decoder && isForeign(stream)) {
    const { askFor } = await import("./remote.js"); // most pages never need it
    return askFor({ addressOf, averageOf, parseHeader, ResponseError }, stream, decoder, signal);
  }
  return decodeHere(stream);
}
