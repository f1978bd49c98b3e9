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
    for (let o = 0; o < outs; o++) {
      for (let p = 0; p < n; p += 4, out += 4) {
        let a = f[bias + o], b = a, c = a, d = a;
        if (keep) a += f[out], b += f[out + 1], c += f[out + 2], d += f[out + 3];
        for (let i = 0, seen = x + p, weight = w + o; i < ins; i++, seen += n, weight += stride) {
          const k = f[weight];
          a += k * f[seen], b += k * f[seen + 1], c += k * f[seen + 2], d += k * f[seen + 3];
        }
        f[out] = a > least ? a : least, f[out + 1] = b > least ? b : least;
        f[out + 2] = c > least ? c : least, f[out + 3] = d > least ? d : least;
      }
    }
  }

  /** `out = floor of (x + bias) scale`, limited to 0 .. 255. */
  squash(out, x, bias, rows, n, scale) {
    const f = this.f;
    for (let row = 0; row < rows; row++) {
      for (let p = row * n; p < (row + 1) * n; p++) {
        f[out + p] = Math.floor(Math.min(Math.max((f[x + p] + f[bias + row]) * scale, 0), 255));
      }
    }
  }

  /** Planes with a border of zeros, one sample wide, and nothing between them. */
  pad(out, x, planes, rows, columns, n) {
    const f = this.f;
    const width = columns + 2;
    f.fill(0, out, out + planes * width * (rows + 2));
    for (let plane = 0; plane < planes; plane++, x += n, out += width * (rows + 2)) {
      for (let row = 0; row < rows; row++) {
        const to = out + (row + 1) * width + 1;
        const from = x + row * columns;
        for (let column = 0; column < columns; column++) f[to + column] = f[from + column];
      }
    }
  }

  /** Four planes into one of twice the side: plane `2 i + j` has the samples of row i, column j. */
  shuffle(out, x, channels, rows, columns, n, wide) {
    const f = this.f;
    for (let channel = 0; channel < channels; channel++) {
      for (let row = 0; row < 2 * rows; row++) {
        const from = x + (4 * channel + 2 * (row & 1)) * n + (row >> 1) * columns;
        const to = out + channel * wide + row * 2 * columns;
        for (let column = 0; column < columns; column++) {
          f[to + 2 * column] = f[from + column];
          f[to + 2 * column + 1] = f[from + n + column];
        }
      }
    }
  }
}
