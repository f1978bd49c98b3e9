/**
 * The encoder with the analysis network of the published model, for Node: as Python's default effort.
 *
 * Latents are those of the Python encoder within the rounding of float32; few streams differ.
 */

import { readFile } from "node:fs/promises";

import { prepare } from "./encode.js";
import { readTables } from "./encode_tables.js";
import { SAMPLES, latentsOf } from "./encode_transform.js";
import { optionalPackage } from "./optional_package.js";

const FLAT_BITS = 10;
const DETAILED_BITS = 30;

/** @type {import("./encode_network.js").loadEncoder} */
export async function loadEncoder(analysis) {
  const { InferenceSession, Tensor } = await optionalPackage("onnxruntime-node", "runs the network");
  const session = await InferenceSession.create(await readModel(analysis));
  const tables = readTables();
  return async (picture, options) => {
    const { layers, grid, finish } = prepare(tables, picture, options);
    const latents = [];
    for (const samples of layers) {
      const cells = grid.rows * grid.columns;
      const input = Float32Array.from(samples, (_, i) => samples[(i % cells) * SAMPLES + Math.floor(i / cells)]);
      const tensor = new Tensor("float32", input, [1, SAMPLES, grid.rows, grid.columns]);
      const { added } = await session.run({ samples: tensor });
      const share = shareOf(latentsOf(tables, samples, grid), cells);
      latents.push(latentsOf(tables, samples, grid, added.data.map((x) => share * x)));
    }
    return finish(latents);
  };
}

/** How much of what the network adds flat pictures take, as lapped/codec.py. */
function shareOf(latents, cells) {
  const bits = latents.reduce((sum, latent) => sum + Math.log2(1 + 2 * Math.abs(latent)), 0) / cells;
  return Math.min(Math.max((bits - FLAT_BITS) / (DETAILED_BITS - FLAT_BITS), 0), 1);
}

async function readModel(address) {
  if (!/^https?:/.test(address)) return readFile(address);
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${address}: status ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}
