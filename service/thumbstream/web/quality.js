/**
 * Distortion between two pictures, defined as in `thumbstream_models.evaluate.metrics`.
 *
 * SSIM: Wang et al. 2004, Gaussian window of 11 x 11 and sigma 1.5, K1 = 0.01, K2 = 0.03, windows
 * inside the picture, mean over the three RGB channels. On a side shorter than the window, the
 * window shrinks to the largest odd length that fits. PSNR: over all RGB samples. Pictures are RGBA,
 * 0..255, alpha not premultiplied. Pictures with alpha are blended with black and with white; SSIM is
 * the mean of the two, PSNR that of the mean of their squared errors.
 */

import { isOpaque } from "./alpha.js";

const WINDOW = 11; // pixels
const SIGMA = 1.5; // pixels
const C1 = (0.01 * 255) ** 2;
const C2 = (0.03 * 255) ** 2;
const MAX_PSNR = 100; // dB reported for equal pictures, whose PSNR is infinite

/** Gaussian taps that fit into `side` pixels and sum to one. */
function taps(side) {
  const length = Math.min(WINDOW, side - 1 + (side % 2));
  const weights = Array.from({ length }, (_, i) =>
    Math.exp(-((i - (length - 1) / 2) ** 2) / (2 * SIGMA ** 2)),
  );
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

/** Separable valid filter of one plane: (height - rows + 1) * (width - columns + 1) means. */
function blur(plane, width, height, columns, rows) {
  const outWidth = width - columns.length + 1;
  const outHeight = height - rows.length + 1;
  const narrow = new Float64Array(outWidth * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < outWidth; x++) {
      let sum = 0;
      for (let k = 0; k < columns.length; k++) sum += columns[k] * plane[y * width + x + k];
      narrow[y * outWidth + x] = sum;
    }
  }
  const out = new Float64Array(outWidth * outHeight);
  for (let y = 0; y < outHeight; y++) {
    for (let x = 0; x < outWidth; x++) {
      let sum = 0;
      for (let k = 0; k < rows.length; k++) sum += rows[k] * narrow[(y + k) * outWidth + x];
      out[y * outWidth + x] = sum;
    }
  }
  return out;
}

/** The pairs of opaque pictures to compare. */
function opaquePairs(a, b) {
  if (isOpaque(a) && isOpaque(b)) return [[a, b]];
  return [0, 255].map((background) => [a, b].map((picture) => blended(background, picture)));
}

function blended(background, picture) {
  return Float64Array.from(picture, (sample, i) => {
    const alpha = picture[i | 3] / 255;
    return background + (sample - background) * alpha;
  });
}

/**
 * Structural similarity; 1 if equal.
 * @param {ArrayLike<number>} a width * height * 4 samples
 * @param {ArrayLike<number>} b width * height * 4 samples
 * @param {number} width
 * @param {number} height
 */
export function ssim(a, b, width, height) {
  const scores = opaquePairs(a, b).map(([x, y]) => similarity(x, y, width, height));
  return scores.reduce((sum, score) => sum + score, 0) / scores.length;
}

function similarity(a, b, width, height) {
  const columns = taps(width);
  const rows = taps(height);
  const mean = (plane) => blur(plane, width, height, columns, rows);
  const count = width * height;
  const [x, y, xx, yy, xy] = Array.from({ length: 5 }, () => new Float64Array(count));
  let total = 0;
  let windows = 0;
  for (let channel = 0; channel < 3; channel++) {
    for (let i = 0; i < count; i++) {
      x[i] = a[4 * i + channel];
      y[i] = b[4 * i + channel];
      xx[i] = x[i] * x[i];
      yy[i] = y[i] * y[i];
      xy[i] = x[i] * y[i];
    }
    const [mx, my, mxx, myy, mxy] = [x, y, xx, yy, xy].map(mean);
    for (let i = 0; i < mx.length; i++) {
      const product = mx[i] * my[i];
      const squares = mx[i] ** 2 + my[i] ** 2;
      total +=
        ((2 * product + C1) * (2 * (mxy[i] - product) + C2)) /
        ((squares + C1) * (mxx[i] + myy[i] - squares + C2));
    }
    windows += mx.length;
  }
  return total / windows;
}

/**
 * Peak signal-to-noise ratio in dB; at most 100.
 * @param {ArrayLike<number>} a
 * @param {ArrayLike<number>} b as long as `a`
 */
export function psnr(a, b) {
  const pairs = opaquePairs(a, b);
  let sum = 0;
  for (const [x, y] of pairs) {
    for (let i = 0; i < x.length; i++) {
      if (i % 4 !== 3) sum += (x[i] - y[i]) ** 2;
    }
  }
  const mse = sum / ((a.length / 4) * 3 * pairs.length);
  return Math.min(20 * Math.log10(255) - 10 * Math.log10(mse), MAX_PSNR);
}
