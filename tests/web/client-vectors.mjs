/** Shared by the tests of the client: golden vectors, a small model, pseudo-random numbers. */

import { readFileSync } from "node:fs";

import { Kernels } from "../../service/thumbstream/web/client/kernels.js";
import { lastPlane } from "../../service/thumbstream/web/client/look.js";
import * as plain from "../../service/thumbstream/web/client/plain_kernels.js";
import { wasmKernels } from "../../service/thumbstream/web/client/wasm.js";

const VECTORS = new URL("../vectors/", import.meta.url);

export const vectorsOf = (name) => JSON.parse(readFileSync(new URL(`${name}.json`, VECTORS)));

export const bytesOf = (hex) => Uint8Array.from(Buffer.from(hex, "hex"));

/** Kernels by name: in WebAssembly, and in plain JavaScript. */
export const KERNELS = {
  wasm: () => wasmKernels(),
  plain: () => Object.assign(new Kernels(), plain),
};

/** A small model and its streams without headers: the tables as the modules take them. */
export function smallModel() {
  const { params, look, contexts, vectors } = vectorsOf("lapped");
  const flat = (table) => table.flat(Infinity);
  const { magnitudes, values, ...others } = look;
  const names = { b1_plane: "b1Plane", b2_plane: "b2Plane" };
  const tables = {
    ...params, first: params.groups[0], taps: magnitudes, valueTaps: values,
    ...Object.fromEntries(Object.entries(others).map(([name, table]) => [name, flat(table)])),
    ...Object.fromEntries(
      Object.entries(contexts).map(([name, table]) => [names[name] ?? name, flat(table)])),
  };
  return { tables, vectors };
}

/** The state of a latent at a level, from its state after the last plane. */
export const coarser = (state, level, planes) =>
  Math.sign(state) * (Math.abs(state) >> (lastPlane(planes - 1, level) - level) / 4);

/** Pseudo-random numbers from 0 to 2^32 - 1, the same in every run. */
export function numbers(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state ^ (state >>> 15)) >>> 0;
  };
}
