/** Methods for `Kernels`: kernels.c in plain JavaScript, fetched only where WebAssembly is missing. */

/** As `conv` of kernels.c, two outputs of four samples at a time. */
export function conv(
  out, x, w, stride, bias, outs, ins, n, accumulate, minimum, columns, rows, depthwise,
) {
  if (columns) {
    return conv3.call(this, out, x, w, bias, outs, ins, rows, columns, n, depthwise, minimum);
  }
  const f = this.f;
  for (let o = 0; o < outs; o += 2) {
    const next = o + 1 < outs ? 1 : 0; // a single last output is computed twice
    for (let p = 0; p < n; p += 4) {
      const top = out + o * n + p;
      const below = top + next * n;
      let a0 = f[bias + o], a1 = a0, a2 = a0, a3 = a0;
      let b0 = f[bias + o + next], b1 = b0, b2 = b0, b3 = b0;
      if (accumulate) {
        a0 += f[top], a1 += f[top + 1], a2 += f[top + 2], a3 += f[top + 3];
        b0 += f[below], b1 += f[below + 1], b2 += f[below + 2], b3 += f[below + 3];
      }
      for (let i = 0, sample = x + p, weight = w + o; i < ins; i++, sample += n, weight += stride) {
        const a = f[weight], b = f[weight + next];
        const x0 = f[sample], x1 = f[sample + 1], x2 = f[sample + 2], x3 = f[sample + 3];
        a0 += a * x0, a1 += a * x1, a2 += a * x2, a3 += a * x3;
        b0 += b * x0, b1 += b * x1, b2 += b * x2, b3 += b * x3;
      }
      f[top] = a0 > minimum ? a0 : minimum, f[top + 1] = a1 > minimum ? a1 : minimum;
      f[top + 2] = a2 > minimum ? a2 : minimum, f[top + 3] = a3 > minimum ? a3 : minimum;
      f[below] = b0 > minimum ? b0 : minimum, f[below + 1] = b1 > minimum ? b1 : minimum;
      f[below + 2] = b2 > minimum ? b2 : minimum, f[below + 3] = b3 > minimum ? b3 : minimum;
    }
  }
}

/**
 * A 3 x 3 convolution of padded planes, of all or, if `depthwise`, of each plane into its own. The
 * weight of tap `k` of input `i` in output `o` is at `w + (9 i + k) outs + o`.
 */
function conv3(out, x, w, bias, outs, ins, rows, columns, n, depthwise, minimum) {
  const f = this.f;
  const width = columns + 2;
  const plane = width * (rows + 2);
  for (let o = 0; o < outs; o++) {
    const to = out + o * n;
    f.fill(f[bias + o], to, to + n);
    for (let i = 0; i < ins; i++) {
      const from = x + (depthwise ? o : i) * plane;
      const tap = (k) => f[w + (9 * i + k) * outs + o];
      const [k0, k1, k2, k3, k4, k5, k6, k7, k8] = [0, 1, 2, 3, 4, 5, 6, 7, 8].map(tap);
      for (let row = 0; row < rows; row++) {
        for (let column = 0; column < columns; column++) {
          const p = from + row * width + column, q = p + width, r = q + width;
          f[to + row * columns + column] +=
            k0 * f[p] + k1 * f[p + 1] + k2 * f[p + 2] + k3 * f[q] + k4 * f[q + 1] +
            k5 * f[q + 2] + k6 * f[r] + k7 * f[r + 1] + k8 * f[r + 2];
        }
      }
    }
    for (let p = to; p < to + n; p++) if (f[p] < minimum) f[p] = minimum;
  }
}
