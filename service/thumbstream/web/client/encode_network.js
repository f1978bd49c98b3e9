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
      latents.push(latentsOf(tables, samples, grid, added.data));
    }
    return finish(latents);
  };
}

async function readModel(address) {
  if (!/^https?:/.test(address)) return readFile(address);
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${address}: status ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}
