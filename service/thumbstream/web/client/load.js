/**
 * Creates a decoder from the published weights: gets them, checks their hash, decompresses them.
 *
 * docs/javascript.md, "client.bin".
 */

import { fetchWeights, keepWeights } from "#weights";

import { createDecoder } from "./decoder.js";
import { WeightsError } from "./errors.js";
import { Kernels } from "./kernels.js";
import { MODEL_ID, WEIGHTS_INTEGRITY } from "./model.js";
import { wasmKernels } from "./wasm.js";
import { readWeights } from "./weights.js";

const MAGIC = "THSC\x02"; // with the version of the format
const NAME = 7; // offset of the model id

/**
 * @param {import("./index.js").LoadOptions} [options] and `plain`, the module plain_kernels.js if it
 *   is loaded already
 * @returns {Promise<import("./index.js").Decoder>}
 * @throws {WeightsError}
 */
export async function load({
  url, bytes, integrity = WEIGHTS_INTEGRITY, wasm = true, plain, signal,
} = {}) {
  const subtle = globalThis.crypto?.subtle; // missing on pages that are served over plain http
  const options = { signal, integrity: subtle ? "" : integrity };
  const response = bytes ?? (await (url ? fetch(url, options) : fetchWeights(options)));
  check(bytes || response.ok, `status ${response.status} from ${response.url}`);
  const data = new Uint8Array(bytes ?? (await response.arrayBuffer()));
  check(!integrity || (subtle ? (await hashOf(data, subtle)) === integrity : !bytes), "other bytes");
  const text = (from, to) => String.fromCharCode(...data.subarray(from, to));
  check(text(0, MAGIC.length) === MAGIC, "other bytes");
  const [bitstreamId, length] = data.subarray(MAGIC.length, NAME);
  const model = { bitstreamId, modelId: text(NAME, NAME + length) };
  if (!bytes && !url) keepWeights(data);
  // Not a Blob, whose bytes would be copied to another process and back.
  const packed = new Response(data.subarray(NAME + length)).body;
  const unpacked = new Response(packed.pipeThrough(new DecompressionStream("deflate")));
  const weights = readWeights(new Uint8Array(await unpacked.arrayBuffer()));
  const kernels =
    (wasm && wasmKernels()) ||
    Object.assign(new Kernels(), plain ?? (await import("./plain_kernels.js")));
  return createDecoder(weights, model, kernels);
}

function check(valid, actual) {
  if (!valid) throw new WeightsError(`expected the weights of ${MODEL_ID}, got ${actual}`);
}

const hashOf = async (data, subtle) =>
  `sha256-${btoa(String.fromCharCode(...new Uint8Array(await subtle.digest("SHA-256", data))))}`;
