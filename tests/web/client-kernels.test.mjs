/** The kernels in WebAssembly and in plain JavaScript do the same as simple loops. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { Kernels } from "../../service/thumbstream/web/client/kernels.js";
import { WASM } from "../../service/thumbstream/web/client/kernels_wasm.generated.js";
import { fromText } from "../../service/thumbstream/web/client/bytes.js";
import { SHIFT } from "../../service/thumbstream/web/client/wasm.js";
import { KERNELS, numbers } from "./client-vectors.mjs";

const SIZE = 40000;
const [OUT, X, W, BIAS] = [16, 8000, 20000, 30000];
const FAST = Object.entries(KERNELS);

/** A memory of small integers, whose sums are exact in every kernel. */
function filled(kernels, seed) {
  const next = numbers(seed);
  kernels.reserve(SIZE);
  for (let i = 0; i < SIZE; i++) kernels.f[i] = (next() % 101) - 50;
  return kernels;
}

/** `[outs, ins]`: multiples of the unrolled loops, and remainders. */
const SHAPES = [[1, 1], [2, 3], [3, 7], [4, 30], [7, 16]];

for (const [name, kernels] of FAST) {
  test(`1 x 1 convolution, ${name}`, () => {
    for (const [outs, ins] of SHAPES) {
      for (const n of [8, 24]) {
        for (const accumulate of [0, 1]) {
          for (const minimum of [0, -Infinity]) {
            const [fast, slow] = [kernels(), new Kernels()].map((k) => filled(k, outs * ins + n));
            for (const k of [fast, slow]) k.conv(OUT, X, W, outs + 2, BIAS, outs, ins, n, accumulate, minimum);
            const [actual, expected] = [fast, slow].map((k) => [...k.f.subarray(0, OUT + outs * n + 8)]);
            assert.deepEqual(actual, expected, `${outs} of ${ins}, ${n}, ${accumulate}, ${minimum}`);
          }
        }
      }
    }
  });

  test(`3 x 3 convolution, ${name}`, () => {
    for (const [outs, ins] of SHAPES) {
      for (const [rows, columns] of [[1, 1], [3, 5], [4, 4], [2, 9]]) {
        for (const depthwise of [0, 1]) {
          const inputs = depthwise ? 1 : ins;
          const n = Math.ceil((rows * columns) / 8) * 8;
          const k = filled(kernels(), rows * columns + outs);
          const planes = depthwise ? outs : inputs;
          const padded = X;
          const source = X + 6000;
          k.pad(padded, source, planes, rows, columns, n);
          k.conv(OUT, padded, W, 9 * outs, BIAS, outs, inputs, n, 0, 0, columns, rows, depthwise);
          for (let o = 0; o < outs; o++) {
            for (let y = 0; y < rows; y++) {
              for (let x = 0; x < columns; x++) {
                let sum = k.f[BIAS + o];
                for (let i = 0; i < inputs; i++) {
                  for (let t = 0; t < 9; t++) {
                    const [v, u] = [y + Math.floor(t / 3) - 1, x + (t % 3) - 1];
                    if (v < 0 || v >= rows || u < 0 || u >= columns) continue;
                    const plane = source + (depthwise ? o : i) * n;
                    sum += k.f[W + (9 * i + t) * outs + o] * k.f[plane + v * columns + u];
                  }
                }
                const actual = k.f[OUT + o * n + y * columns + x];
                assert.equal(actual, Math.max(sum, 0), `${outs} of ${inputs}, ${rows} x ${columns}`);
              }
            }
          }
        }
      }
    }
  });
}

test("memory grows and keeps its contents", () => {
  for (const [name, kernels] of FAST) {
    const k = kernels();
    k.reserve(100);
    k.f[99] = 7;
    k.reserve(1_000_000);
    assert.equal(k.f[99], 7, name);
    assert.ok(k.f.length >= 1_000_000, name);
  }
});

test("the inlined WebAssembly is kernels.wasm, without imports", () => {
  const built = readFileSync(
    new URL("../../service/thumbstream/web/client/kernels.wasm", import.meta.url),
  );
  assert.deepEqual(fromText(WASM, SHIFT), new Uint8Array(built));
  const module = new WebAssembly.Module(built);
  assert.deepEqual(WebAssembly.Module.imports(module), []);
  const names = WebAssembly.Module.exports(module).map(({ name }) => name);
  assert.deepEqual(names, ["memory", "conv"]);
});
