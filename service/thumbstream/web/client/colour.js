/**
 * The mean colour of a picture: of its pixels, or told by the first bytes of its stream.
 *
 * The latter needs no network and nothing but this code: published.js has a small part of the
 * tables, enough to read the strongest latents to the bit, and a linear map from these to a colour.
 * It is the decoder of a picture with one sample per cell.
 */

import { decoderOf } from "./decoder.js";
import { Kernels } from "./kernels.js";
import { BITSTREAM_ID, COLOUR, MODEL } from "./published.js";
import { bytesOf } from "./text.js";
import { wasmKernels } from "./wasm.js";
import { readWeights } from "./weights.js";

const SHIFT = 80; // published.js: what was added to each byte

let decoder, weights;

/** What published.js has of the tables, and the map to a colour. */
export const lead = () => (weights ??= readWeights(bytesOf(COLOUR, SHIFT)));

/**
 * The mean colour of the picture of a stream, as far as its first bytes tell: an estimate, which
 * stays the same from some 20 bytes on. Grey while no byte behind the header is there.
 *
 * @param {Uint8Array} stream of one byte or more
 * @returns {string} as CSS takes it: `#rrggbb`, or with alpha `#rrggbbaa`
 * @throws {import("./errors.js").BitstreamError}
 */
export function averageColor(stream) {
  const model = { modelId: MODEL, bitstreamId: BITSTREAM_ID };
  decoder ??= decoderOf(lead(), model, wasmKernels() ?? new Kernels());
  return decoder.decode(stream).averageColor;
}
