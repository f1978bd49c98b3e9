/**
 * The arithmetic of the decoder: a few loops over planes of samples.
 *
 * All of it works on one memory, an array of floats in which the samples of a channel lie together,
 * a plane, `n` apart from those of the next. `n` is a multiple of 8; the last few may be padding.
 * Arguments that name an array are its place in that memory. The loops that take the time are there
 * again, faster, in kernels.c for WebAssembly and in plain_kernels.js.
 */

/** What is small, and all that a decoder of colours needs. */
export class Kernels {
  /** Float64 is faster in JavaScript than Float32, which would be converted at every step. */
  f = new Float64Array(0);

  /** Make room for so many floats; `f` is another array then, with the same contents. */
  reserve(count) {
    const before = this.f;
    this.f = new Float64Array(count);
    this.f.set(before);
  }

  /**
   * The matrix product of a 1 x 1 convolution: `out = max(least, (keep ? out : 0) + bias + w x)`.
   * What input `i` weighs in output `o` lies at `w + i * stride + o`.
   */
  mix(out, x, w, stride, bias, outs, ins, n, keep, least) {
    const f = this.f;
    for (let o = 0; o < outs; o++, w++, out += n) {
      for (let p = 0; p < n; p++) {
        let sum = f[bias + o] + (keep && f[out + p]);
        for (let i = 0; i < ins; i++) sum += f[w + i * stride] * f[x + p + i * n];
        f[out + p] = sum > least ? sum : least;
      }
    }
  }

  /** `out = floor of (x + bias) scale`, limited to 0 .. 255. */
  squash(out, x, bias, rows, n, scale) {
    const f = this.f;
    for (let i = 0; i < rows * n; i++) {
      const shifted = (f[x + i] + f[bias + Math.floor(i / n)]) * scale;
      f[out + i] = Math.floor(Math.min(Math.max(shifted, 0), 255));
    }
  }

  /** Planes with a border of zeros, one sample wide, and nothing between them. */
  pad(out, x, planes, rows, columns, n) {
    const f = this.f;
    const width = columns + 2;
    f.fill(0, out, out + planes * width * (rows + 2));
    for (; planes--; x += n, out += 2 * width) {
      for (let row = 0; row < rows; row++, out += width) {
        const from = x + row * columns;
        for (let p = 0; p < columns; p++) f[out + width + 1 + p] = f[from + p];
      }
    }
  }

  /** Four planes into one of twice the side: plane `2 i + j` has the samples of row i, column j. */
  shuffle(out, x, channels, rows, columns, n, wide) {
    const f = this.f;
    for (; channels--; x += 4 * n, out += wide) {
      for (let row = 0; row < 2 * rows; row++) {
        const from = x + 2 * (row & 1) * n + (row >> 1) * columns;
        for (let p = 0; p < 2 * columns; p++) {
          f[out + 2 * row * columns + p] = f[from + (p & 1) * n + (p >> 1)];
        }
      }
    }
  }
}
