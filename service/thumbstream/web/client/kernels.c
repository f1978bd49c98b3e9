/*
 * Where the time of decoding goes: two loops over planes of samples, four of them at once.
 *
 * plain_kernels.js has their twins in plain JavaScript. Arguments that name an array are its place
 * in the memory, counted in floats. No library, no data, no stack.
 */

#include <wasm_simd128.h>

#define EXPORT(name) __attribute__((export_name(#name))) void name

static inline float *at(int index) { return (float *)(index * 4); }

static inline v128_t many(float value) { return wasm_f32x4_splat(value); }

static inline v128_t plus_product(v128_t sum, v128_t a, v128_t b) {
  return wasm_f32x4_add(sum, wasm_f32x4_mul(a, b));
}

/* out = max(least, (keep ? out : 0) + bias + w x): the matrix product of a 1 x 1 convolution. */
EXPORT(mix)(int out, int x, int w, int stride, int bias, int outs, int ins, int n, int keep,
            float least) {
  for (int o = 0; o < outs; o += 2) {
    int next = o + 1 < outs; /* behind the last row it is taken again */
    for (int p = 0; p < n; p += 8) {
      float *top = at(out + o * n + p), *below = top + next * n;
      v128_t a = many(*at(bias + o)), b = a, c = many(*at(bias + o + next)), d = c;
      if (keep) {
        a = wasm_f32x4_add(a, wasm_v128_load(top));
        b = wasm_f32x4_add(b, wasm_v128_load(top + 4));
        c = wasm_f32x4_add(c, wasm_v128_load(below));
        d = wasm_f32x4_add(d, wasm_v128_load(below + 4));
      }
      const float *seen = at(x + p), *weight = at(w + o);
      for (int i = 0; i < ins; i++, seen += n, weight += stride) {
        v128_t left = wasm_v128_load(seen), right = wasm_v128_load(seen + 4);
        v128_t first = wasm_v128_load32_splat(weight);
        v128_t second = wasm_v128_load32_splat(weight + next);
        a = plus_product(a, first, left);
        b = plus_product(b, first, right);
        c = plus_product(c, second, left);
        d = plus_product(d, second, right);
      }
      wasm_v128_store(top, wasm_f32x4_max(a, many(least)));
      wasm_v128_store(top + 4, wasm_f32x4_max(b, many(least)));
      wasm_v128_store(below, wasm_f32x4_max(c, many(least)));
      wasm_v128_store(below + 4, wasm_f32x4_max(d, many(least)));
    }
  }
}

/* A 3 x 3 convolution of padded planes: of all, or, apart, of each into its own. */
EXPORT(conv3)(int out, int x, int w, int bias, int outs, int ins, int rows, int columns, int n,
              int apart, float least) {
  int width = columns + 2, plane = width * (rows + 2);
  for (int o = 0; o < outs; o++, out += n, x += apart ? plane : 0) {
    for (int row = 0; row < rows; row++) {
      for (int column = 0; column < columns; column += 4) { /* too much is overwritten later */
        v128_t sum = many(*at(bias + o));
        const float *weight = at(w + o);
        for (int i = 0; i < ins; i++) {
          const float *seen = at(x + i * plane + row * width + column);
          for (int k = 0; k < 3; k++, seen += width) {
            for (int l = 0; l < 3; l++, weight += outs) {
              sum = plus_product(sum, wasm_v128_load32_splat(weight), wasm_v128_load(seen + l));
            }
          }
        }
        wasm_v128_store(at(out + row * columns + column), wasm_f32x4_max(sum, many(least)));
      }
    }
  }
}
