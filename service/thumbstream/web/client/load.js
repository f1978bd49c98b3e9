/**
 * A decoder, from the published weights: fetched, checked against their hash, unpacked.
 *
 * docs/client.md, "Format".
 */

import { lead } from "./colour.js";
import { decoderOf } from "./decoder.js";
import { WeightsError } from "./errors.js";
import { Kernels } from "./kernels.js";
import { MODEL, SHA256 } from "./published.js";
import { hex } from "./text.js";
import { wasmKernels } from "./wasm.js";
import { addPart, readWeights } from "./weights.js";

const MAGIC = "THSC\x01"; // and the version of the format
const NAME = 7; // where the model's name begins

/**
 * @param {import("./index.js").LoadOptions} [options] and `plain`, the module plain_kernels.js where
 *   it is there already
 * @returns {Promise<import("./index.js").Decoder>}
 * @throws {WeightsError} what was fetched is not what was published
 */
export async function load({ url, bytes, sha256 = SHA256, wasm = true, plain, signal } = {}) {
  const subtle = globalThis.crypto?.subtle; // not on pages that came over plain http
  const integrity = sha256 !== null && !subtle ? `sha256-${base64Of(sha256)}` : "";
  const source = url ?? new URL("./client.bin", import.meta.url);
  const data = new Uint8Array(bytes ?? (await fetched(source, { signal, integrity })));
  const checked = sha256 === null || (subtle ? (await hashOf(data, subtle)) === sha256 : !bytes);
  if (!checked) throw new WeightsError("these are not the weights that were published");
  const text = (from, to) => String.fromCharCode(...data.subarray(from, to));
  if (text(0, MAGIC.length) !== MAGIC) throw new WeightsError("these are no weights of format 1");
  const [bitstreamId, length] = data.subarray(MAGIC.length, NAME);
  const model = { bitstreamId, modelId: text(NAME, NAME + length) };
  // The bytes of a Blob would travel to another process and back.
  const { body } = new Response(data.subarray(NAME + length));
  const unpacked = new Response(body.pipeThrough(new DecompressionStream("deflate")));
  const payload = new Uint8Array(await unpacked.arrayBuffer());
  const weights = readWeights(payload);
  if (weights.rest) {
    if (model.modelId !== MODEL) throw new WeightsError(`not the weights of ${MODEL}`);
    addPart(weights, lead());
  }
  const kernels =
    (wasm && wasmKernels()) ||
    Object.assign(new Kernels(), plain ?? (await import("./plain_kernels.js")));
  return decoderOf(weights, model, kernels);
}

async function fetched(url, options) {
  if (String(url).startsWith("file:")) {
    return process.getBuiltinModule("node:fs").readFileSync(new URL(url));
  }
  const response = await fetch(url, options);
  if (!response.ok) throw new WeightsError(`no weights: status ${response.status}`);
  return response.arrayBuffer();
}

const hashOf = async (data, subtle) => hex(new Uint8Array(await subtle.digest("SHA-256", data)));

const base64Of = (digits) =>
  btoa(digits.replace(/../g, (two) => String.fromCharCode(parseInt(two, 16))));
