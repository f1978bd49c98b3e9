/*
 * Where the time of decoding goes: one loop over planes of samples, eight of them at once.
 *
 * plain_kernels.js has its twin in plain JavaScript. Arguments that name an array are its place in
 * the memory, counted in floats. No library, no data, no stack.
 */

#include <wasm_simd128.h>

#define EXPORT(name) __attribute__((export_name(#name))) void name

static inline float *at(int index) { return (float *)(index * 4); }

static inline v128_t many(float value) { return wasm_f32x4_splat(value); }

static inline v128_t plus_product(v128_t sum, v128_t a, v128_t b) {
  return wasm_f32x4_add(sum, wasm_f32x4_mul(a, b));
}

static inline void put(float *sums, v128_t values, float least) {
  wasm_v128_store(sums, wasm_f32x4_max(values, many(least)));
}

/*
 * out = max(least, (keep ? out : 0) + bias + w x): a convolution, 1 x 1, or, where columns are
 * given, 3 x 3 of padded planes: of all, or, apart, of each into its own. Two outputs share what
 * they read, if they can; one that stands alone is computed twice and stored once.
 */
EXPORT(mix)(int out, int x, int w, int stride, int bias, int outs, int ins, int n, int keep,
            float least, int columns, int rows, int apart) {
  int border = columns ? 2 : 0;
  if (!columns) columns = n, rows = 1;
  int width = columns + border, plane = width * (rows + border);
  for (int o = 0; o < outs; o++, out += n, x += apart ? plane : 0) {
    int next = !(apart | (columns & 7)) && o + 1 < outs; /* else the first would spill over it */
    for (int row = 0; row < rows; row++) {
      for (int column = 0; column < columns; column += 8) { /* too much is overwritten later */
        float *sums = at(out + row * columns + column), *below = sums + next * n;
        v128_t a = many(*at(bias + o)), b = a, c = many(*at(bias + o + next)), d = c;
        if (keep) {
          a = wasm_f32x4_add(a, wasm_v128_load(sums));
          b = wasm_f32x4_add(b, wasm_v128_load(sums + 4));
          c = wasm_f32x4_add(c, wasm_v128_load(below));
          d = wasm_f32x4_add(d, wasm_v128_load(below + 4));
        }
        int corner = x + row * width + column, tap = w + o;
        for (int k = 0; k <= border; k++, corner += width) {
          for (int l = 0; l <= border; l++, tap += outs) {
            const float *seen = at(corner + l), *weight = at(tap);
            for (int i = 0; i < ins; i++, seen += plane, weight += stride) {
              v128_t left = wasm_v128_load(seen), right = wasm_v128_load(seen + 4);
              v128_t factor = wasm_v128_load32_splat(weight);
              v128_t other = wasm_v128_load32_splat(weight + next);
              a = plus_product(a, factor, left);
              b = plus_product(b, factor, right);
              c = plus_product(c, other, left);
              d = plus_product(d, other, right);
            }
          }
        }
        put(sums, a, least);
        put(sums + 4, b, least);
        if (next) {
          put(below, c, least);
          put(below + 4, d, least);
        }
      }
    }
    o += next;
    out += next * n;
  }
}
