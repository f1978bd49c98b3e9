/** Transparency of RGBA samples, 0..255, alpha not premultiplied. */

const OPAQUE = 250; // visually opaque from here on; lossy formats produce such values

/** @param {ArrayLike<number>} samples */
export function isOpaque(samples) {
  for (let i = 3; i < samples.length; i += 4) if (samples[i] < OPAQUE) return false;
  return true;
}

/** Blend a picture with white, as the service does when it drops transparency. */
export function flatten(samples) {
  return samples.map((sample, i) => {
    if (i % 4 === 3) return 255;
    return 255 + ((sample - 255) * samples[i | 3]) / 255;
  });
}
