/**
 * The kernels in WebAssembly, with SIMD: kernels.c, inlined, so that there is nothing to fetch.
 *
 * It is so small that every browser compiles it at once, on any thread.
 */

import { Kernels } from "./kernels.js";
import { WASM } from "./kernels_wasm.js";

const PAGE = 65536;

/** @throws where WebAssembly or its SIMD is missing, or a content security policy refuses it */
export class WasmKernels extends Kernels {
  #memory;

  constructor() {
    super();
    const code = Uint8Array.from(atob(WASM), (letter) => letter.charCodeAt(0));
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(code));
    this.#memory = exports.memory;
    this.mix = exports.mix;
    this.conv3 = exports.conv3;
    this.reserve(0);
  }

  /** As `PlainKernels.reserve`. */
  reserve(count) {
    const missing = 4 * count - this.#memory.buffer.byteLength;
    if (missing > 0) this.#memory.grow(Math.ceil(missing / PAGE));
    this.f = new Float32Array(this.#memory.buffer);
  }
}
