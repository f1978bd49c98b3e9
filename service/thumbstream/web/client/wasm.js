/**
 * The kernels in WebAssembly with SIMD. The binary of kernels.c is inlined, so nothing is fetched, and
 * so small that browsers compile it synchronously on any thread.
 */

import { fromText } from "./bytes.js";
import { Kernels } from "./kernels.js";
import { WASM } from "./kernels_wasm.generated.js";

const PAGE = 65536;
export const SHIFT = 40; // added to each byte of WASM by build.sh

/** Kernels with a memory of their own; undefined if WebAssembly or its SIMD is missing or blocked. */
export function wasmKernels() {
  try {
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(fromText(WASM, SHIFT)));
    const reserve = (count) => {
      const missing = 4 * count - exports.memory.buffer.byteLength;
      if (missing > 0) exports.memory.grow(Math.ceil(missing / PAGE));
      kernels.f = new Float32Array(exports.memory.buffer);
    };
    const kernels = Object.assign(new Kernels(), exports, { reserve });
    reserve(0);
    return kernels;
  } catch {
    // plain_kernels.js does the same
  }
}
