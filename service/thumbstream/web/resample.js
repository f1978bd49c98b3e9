/**
 * Antialiased Lanczos-3 resampling, as the service reduces an upload.
 *
 * Browsers reduce pictures differently, and a reference made in another way would attribute the
 * difference to the codec. Transparent pictures are premultiplied during resampling, so that hidden
 * colors do not bleed.
 */

import { isOpaque } from "./alpha.js";

const LOBES = 3;

function lanczos(x) {
  if (x === 0) return 1;
  if (Math.abs(x) >= LOBES) return 0;
  const angle = Math.PI * x;
  return (LOBES * Math.sin(angle) * Math.sin(angle / LOBES)) / (angle * angle);
}

/** For each output sample the first input sample of its window, and the weights. */
function plan(inputs, outputs) {
  const scale = inputs / outputs;
  const stretch = Math.max(scale, 1); // reducing widens the filter, enlarging does not narrow it
  const reach = LOBES * stretch;
  return Array.from({ length: outputs }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - reach + 0.5));
    const last = Math.min(inputs, Math.trunc(centre + reach + 0.5));
    const weights = Array.from({ length: last - first }, (_, k) =>
      lanczos((first + k - centre + 0.5) / stretch),
    );
    const sum = weights.reduce((total, weight) => total + weight, 0);
    return { first, weights: weights.map((weight) => weight / sum) };
  });
}

/** Resample every line of a picture; a line is `count` samples `step` apart, 4 channels each. */
function pass(source, target, lines, sourceLine, sourceStep, targetLine, targetStep, samples) {
  for (let line = 0; line < lines; line++) {
    samples.forEach(({ first, weights }, i) => {
      const from = line * sourceLine + first * sourceStep;
      const to = line * targetLine + i * targetStep;
      for (let channel = 0; channel < 4; channel++) {
        let sum = 0;
        for (let k = 0; k < weights.length; k++) {
          sum += weights[k] * source[from + k * sourceStep + channel];
        }
        target[to + channel] = sum; // a byte array rounds and clips to 0..255
      }
    });
  }
}

/**
 * @param {{width: number, height: number, data: Uint8ClampedArray}} picture RGBA, not premultiplied
 * @param {number} width
 * @param {number} height
 * @returns {Uint8ClampedArray<ArrayBuffer>} width * height * 4 samples
 */
export function resample(picture, width, height) {
  if (isOpaque(picture.data)) return filtered(picture, picture.data, width, height, Uint8ClampedArray);
  const light = Float64Array.from(picture.data, (sample, i) =>
    i % 4 === 3 ? sample : (sample * picture.data[i | 3]) / 255,
  );
  const sums = filtered(picture, light, width, height, Float64Array);
  return Uint8ClampedArray.from(sums, (sum, i) => {
    // Below half a level alpha rounds to 0. Nothing is clipped before the division.
    return i % 4 === 3 ? sum : (255 * sum) / Math.max(sums[i | 3], 0.5);
  });
}

/** Both passes, in samples of `Samples`: bytes round between them, as the service's do. */
function filtered(picture, data, width, height, Samples) {
  const narrow = new Samples(width * picture.height * 4);
  pass(data, narrow, picture.height, picture.width * 4, 4, width * 4, 4, plan(picture.width, width));
  const out = new Samples(width * height * 4);
  pass(narrow, out, width, 4, width * 4, 4, width * 4, plan(picture.height, height));
  return out;
}
