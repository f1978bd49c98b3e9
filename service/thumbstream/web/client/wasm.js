/**
 * The kernels in WebAssembly, with SIMD: kernels.c, inlined, so that there is nothing to fetch.
 *
 * It is so small that every browser compiles it at once, on any thread.
 */

import { Kernels } from "./kernels.js";
import { WASM } from "./kernels_wasm.js";
import { bytesOf } from "./text.js";

const PAGE = 65536;
export const SHIFT = 40; // build.sh: what was added to each byte

/** Of their own memory; nothing where they are not to be had. */
export function wasmKernels() {
  try {
    return new WasmKernels();
  } catch {
    // Their twins do the same.
  }
}

/** @throws where WebAssembly or its SIMD is missing, or a content security policy refuses it */
export class WasmKernels extends Kernels {
  constructor() {
    super();
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytesOf(WASM, SHIFT)));
    Object.assign(this, exports); // `memory`, and the methods of kernels.c
    this.reserve(0);
  }

  /** As `Kernels.reserve`. */
  reserve(count) {
    const missing = 4 * count - this.memory.buffer.byteLength;
    if (missing > 0) this.memory.grow(Math.ceil(missing / PAGE));
    this.f = new Float32Array(this.memory.buffer);
  }
}
