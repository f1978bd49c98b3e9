/**
 * Splits a transparent picture into two layers: its colors, and a gray picture of its alpha.
 *
 * The colors of fully transparent pixels are replaced by a blend of the visible ones around, which
 * costs few bytes. As codec/alpha.py.
 */

const FILL_RADIUS = 4; // pixels: the distance over which the weight of a color falls by a factor of e
const COLORS = 3;
const HALF = 0.5 + 1e-6; // rounds halves up, even if their last digits are below

/**
 * @param {{width: number, height: number, data: ArrayLike<number>, alpha: boolean}} picture RGBA
 * @returns {Uint8Array[]} RGB: the colors and, with `alpha`, three times its alpha
 */
export function layersOf(picture) {
  const { data, alpha } = picture;
  const rgb = Uint8Array.from({ length: (data.length / 4) * COLORS }, (_, i) =>
    data[4 * Math.floor(i / COLORS) + (i % COLORS)]);
  if (!alpha) return [rgb];
  const gray = rgb.map((_, i) => data[4 * Math.floor(i / COLORS) + COLORS]);
  return [fillTransparent(rgb, gray, picture), gray];
}

function fillTransparent(rgb, gray, { width, height }) {
  if (gray.every((alpha) => !alpha)) return rgb;
  const weights = Float64Array.from(gray, (alpha) => alpha / 255);
  const blend = (samples) => blurred(samples, width, height);
  const [light, weight] = [blend(weights.map((w, i) => rgb[i] * w)), blend(weights)];
  return rgb.map((sample, i) => (gray[i] ? sample : Math.floor(light[i] / weight[i] + HALF)));
}

/** Blur rows, then columns. */
function blurred(samples, width, height) {
  const falloff = (distance) => Math.exp(-Math.abs(distance) / FILL_RADIUS);
  const pass = (source, count, stride) => source.map((_, i) => {
    const place = Math.floor(i / stride) % count;
    let sum = 0;
    for (let k = 0; k < count; k++) sum += falloff(k - place) * source[i + (k - place) * stride];
    return sum;
  });
  return pass(pass(samples, height, COLORS * width), width, COLORS);
}
