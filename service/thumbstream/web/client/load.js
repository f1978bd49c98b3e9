/**
 * A decoder, from the published weights: fetched, checked against their hash, unpacked.
 *
 * docs/client.md, "Format".
 */

import { decoderOf } from "./decoder.js";
import { WeightsError } from "./errors.js";
import { Kernels } from "./kernels.js";
import { SHA256 } from "./published.js";
import { hex } from "./text.js";
import { WasmKernels } from "./wasm.js";
import { readWeights } from "./weights.js";

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
  const unpacked = new Blob([data.subarray(NAME + length)])
    .stream()
    .pipeThrough(new DecompressionStream("deflate"));
  const payload = new Uint8Array(await new Response(unpacked).arrayBuffer());
  return decoderOf(readWeights(payload), model, await kernelsOf(wasm, plain));
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

async function kernelsOf(wasm, plain) {
  try {
    if (wasm) return new WasmKernels();
  } catch {
    // It is not to be had here: its twin does the same.
  }
  return Object.assign(new Kernels(), plain ?? (await import("./plain_kernels.js")));
}
