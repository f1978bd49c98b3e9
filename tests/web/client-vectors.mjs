/** Shared by the tests of the client: golden vectors, a small model, pseudo-random numbers. */

import { readFileSync } from "node:fs";

import { createDecoder } from "../../service/thumbstream/web/client/decoder.js";
import { Kernels } from "../../service/thumbstream/web/client/kernels.js";
import * as plain from "../../service/thumbstream/web/client/plain_kernels.js";
import { wasmKernels } from "../../service/thumbstream/web/client/wasm.js";

const VECTORS = new URL("../vectors/", import.meta.url);
const CELL = 8;

export const vectorsOf = (name) => JSON.parse(readFileSync(new URL(`${name}.json`, VECTORS)));

export const bytesOf = (hex) => Uint8Array.from(Buffer.from(hex, "hex"));

/** Kernels by name: in WebAssembly, and in plain JavaScript. */
export const KERNELS = {
  wasm: () => wasmKernels(),
  plain: () => Object.assign(new Kernels(), plain),
};

/** The decoder of the small model of embedded.json. Its synthesis weights are 0. */
export function smallDecoder({ layout, tables }, kernels) {
  const flat = (name) => tables[name].flat(Infinity);
  const [hidden, second] = [tables.m.length, tables.m[0].length];
  const channels = layout.starts.length;
  /** Rows sorted by channel, then feature, sorted by feature, then channel. */
  const byFeature = (name) => {
    const count = tables[name].length / channels;
    const rows = Array.from({ length: count }, (_, f) =>
      Array.from({ length: channels }, (_, c) => tables[name][count * c + f]),
    );
    return rows.flat(Infinity);
  };
  /** From `(2, channels, units)` to `(units, 2, channels)`. */
  const byUnit = (name) =>
    tables[name][0][0].map((_, u) => tables[name].map((d) => d.map((row) => row[u]))).flat(Infinity);
  const weights = {
    ...layout,
    baseStep: layout.base_step,
    finest: layout.planes,
    steps: Infinity,
    hidden,
    second,
    shifts: tables.shifts,
    predictionShifts: tables.prediction_shifts,
    detail: CELL,
    layers: [{ kind: 0, outs: 3 * CELL ** 2, ins: channels, taps: 1, relu: 0,
      weights: new Float32Array(3 * CELL ** 2 * channels), bias: new Float32Array(3 * CELL ** 2) }],
    a: byFeature("a"),
    b: byFeature("b"),
    predictor: byFeature("predictor"),
    w2: byUnit("w2"),
    w3: byUnit("w3"),
  };
  for (const name of ["m", "own", "gain", "b1", "bm", "b2", "probability"]) {
    weights[name] = flat(name);
  }
  return createDecoder(weights, { modelId: "small", bitstreamId: 7 }, kernels);
}

/**
 * The shortest header for a grid of cells, for vectors that have none.
 *
 * The long side is a multiple of 8 pixels, so every grid has one. In format 7 and without alpha, a
 * landscape picture has a header of two bytes, and a picture of 32 pixels a header of one byte.
 */
export function headerOf({ rows, columns, layers }) {
  const [long, short] = [Math.max(rows, columns), Math.min(rows, columns)];
  const portrait = rows > columns;
  const last = short * CELL - 1;
  if (layers > 1) return [0xc0 | (long - 1), (portrait ? 0x80 : 0) | 7, last];
  if (long === 4) return [0x3f + (portrait ? 32 : 0) + last];
  return portrait ? [0xe0 | (long - 1), 0x80 | 7, last] : [0xa0 | (long - 1), last];
}

/** The state of a latent at a level, from its state after the last plane. */
export function coarser(state, level, planes) {
  for (let plane = planes; plane > level; plane--) state = Math.floor((state + 1) / 3);
  return state;
}

/** Pseudo-random numbers from 0 to 2^32 - 1, the same in every run. */
export function numbers(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state ^ (state >>> 15)) >>> 0;
  };
}
