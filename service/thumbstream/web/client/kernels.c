/*
 * The loop that takes most of the decoding time: convolutions of planes of samples, eight samples at
 * a time.
 *
 * plain_kernels.js does the same in plain JavaScript. Arguments that name an array are its offset in
 * the memory, in floats. No library, no data, no stack.
 */

#include <wasm_simd128.h>

#define EXPORT(name) __attribute__((export_name(#name))) void name

static inline float *at(int index) { return (float *)(index * 4); }

static inline v128_t splat(float value) { return wasm_f32x4_splat(value); }

static inline v128_t multiply_add(v128_t sum, v128_t a, v128_t b) {
  return wasm_f32x4_add(sum, wasm_f32x4_mul(a, b));
}

static inline void put(float *sums, v128_t values, float minimum) {
  wasm_v128_store(sums, wasm_f32x4_max(values, splat(minimum)));
}

/*
 * out = max(minimum, (accumulate ? out : 0) + bias + w x): a 1 x 1 convolution, or, if columns are
 * given, a 3 x 3 convolution of padded planes, of all or, if depthwise, of each plane into its own.
 * Two outputs share the samples that they read where possible; a single one is computed twice and
 * stored once.
 */
EXPORT(conv)(int out, int x, int w, int stride, int bias, int outs, int ins, int n, int accumulate,
             float minimum, int columns, int rows, int depthwise) {
  int border = columns ? 2 : 0;
  if (!columns) columns = n, rows = 1;
  int width = columns + border, plane = width * (rows + border);
  for (int o = 0; o < outs; o++, out += n, x += depthwise ? plane : 0) {
    int next = !(depthwise | (columns & 7)) && o + 1 < outs; /* else the first would overwrite it */
    for (int row = 0; row < rows; row++) {
      for (int column = 0; column < columns; column += 8) { /* the excess is overwritten later */
        float *sums = at(out + row * columns + column), *below = sums + next * n;
        v128_t a = splat(*at(bias + o)), b = a, c = splat(*at(bias + o + next)), d = c;
        if (accumulate) {
          a = wasm_f32x4_add(a, wasm_v128_load(sums));
          b = wasm_f32x4_add(b, wasm_v128_load(sums + 4));
          c = wasm_f32x4_add(c, wasm_v128_load(below));
          d = wasm_f32x4_add(d, wasm_v128_load(below + 4));
        }
        int corner = x + row * width + column, tap = w + o;
        for (int k = 0; k <= border; k++, corner += width) {
          for (int l = 0; l <= border; l++, tap += outs) {
            const float *sample = at(corner + l), *weight = at(tap);
            for (int i = 0; i < ins; i++, sample += plane, weight += stride) {
              v128_t left = wasm_v128_load(sample), right = wasm_v128_load(sample + 4);
              v128_t factor = wasm_v128_load32_splat(weight);
              v128_t other = wasm_v128_load32_splat(weight + next);
              a = multiply_add(a, factor, left);
              b = multiply_add(b, factor, right);
              c = multiply_add(c, other, left);
              d = multiply_add(d, other, right);
            }
          }
        }
        put(sums, a, minimum);
        put(sums + 4, b, minimum);
        if (next) {
          put(below, c, minimum);
          put(below + 4, d, minimum);
        }
      }
    }
    o += next;
    out += next * n;
  }
}
