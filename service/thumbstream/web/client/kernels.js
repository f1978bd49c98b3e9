/**
 * The arithmetic of the decoder: a few loops over planes of samples.
 *
 * All of them work on one memory, an array of floats. The samples of a channel form a plane; planes
 * are `n` floats apart, a multiple of 8, of which the last few may be padding. Arguments that name an
 * array are its offset in that memory. kernels.c (WebAssembly) and plain_kernels.js have faster
 * versions of `conv`.
 */

/** The small loops, and a `conv` for 1 x 1 convolutions: all that `averageColor` needs. */
export class Kernels {
  /** Float64 is faster in JavaScript than Float32, which is converted at every access. */
  f = new Float64Array(0);

  /** Make room for `count` floats. `f` becomes another array with the same contents. */
  reserve(count) {
    const before = this.f;
    this.f = new Float64Array(count);
    this.f.set(before);
  }

  /**
   * A 1 x 1 convolution: `out = max(minimum, (accumulate ? out : 0) + bias + w x)`.
   * The weight of input `i` in output `o` is at `w + i * stride + o`.
   */
  conv(out, x, w, stride, bias, outs, ins, n, accumulate, minimum) {
    const f = this.f;
    for (let o = 0; o < outs; o++) {
      for (let p = 0; p < n; p++, out++) {
        let sum = f[bias + o] + (accumulate && f[out]);
        for (let i = 0; i < ins; i++) sum += f[w + i * stride + o] * f[x + i * n + p];
        f[out] = Math.max(sum, minimum);
      }
    }
  }

  /** The activation of the context model: `out = floor((x + bias) * scale)`, clipped to 0..255. */
  activate(out, x, bias, rows, n, scale) {
    const f = this.f;
    for (let row = 0; row < rows; row++) {
      for (let p = row * n; p < (row + 1) * n; p++) {
        f[out + p] = Math.floor(Math.min(Math.max((f[x + p] + f[bias + row]) * scale, 0), 255));
      }
    }
  }

  /** Copy planes with a border of zeros, one sample wide, and without padding between them. */
  pad(out, x, planes, rows, columns, n) {
    const f = this.f;
    const width = columns + 2;
    f.fill(0, out, out + planes * width * (rows + 2));
    for (let plane = 0; plane < planes; plane++, x += n, out += width * (rows + 2)) {
      for (let row = 0; row < rows; row++) {
        const from = x + row * columns;
        f.copyWithin(out + (row + 1) * width + 1, from, from + columns);
      }
    }
  }

  /**
   * Pixel shuffle: four planes become one of twice the side. Plane `2 i + j` has the samples of row
   * `i` and column `j` of each block of 2 x 2.
   */
  shuffle(out, x, channels, rows, columns, n, outPlane) {
    const f = this.f;
    for (let channel = 0; channel < channels; channel++) {
      for (let row = 0; row < 2 * rows; row++) {
        const from = x + (4 * channel + 2 * (row & 1)) * n + (row >> 1) * columns;
        const to = out + channel * outPlane + row * 2 * columns;
        for (let column = 0; column < columns; column++) {
          f[to + 2 * column] = f[from + column];
          f[to + 2 * column + 1] = f[from + n + column];
        }
      }
    }
  }
}
