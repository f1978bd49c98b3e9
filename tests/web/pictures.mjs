/** Synthetic pictures by formula, so that other programs can make the same ones. */

/** A picture from a function of its coordinates: at(x, y) -> [r, g, b, a?]. */
export function render(width, height, at) {
  const data = new Uint8ClampedArray(width * height * 4);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [r, g, b, a = 255] = at(x, y);
      data.set([r, g, b, a], 4 * (y * width + x));
    }
  }
  return { width, height, data };
}

/** Coarse texture; another one for every seed. */
export const texture = (width, height, seed) =>
  render(width, height, (x, y) =>
    [0, 1, 2].map(
      (c) => (x * 7 + y * 3 + seed * 11 + ((x * y * (c + 1) + seed * 29) % 23) * 5 + c * 40) % 256,
    ),
  );

/** Red to the right, green down, blue along the diagonal. */
export const ramp = (width, height) =>
  render(width, height, (x, y) => [
    Math.floor((x * 255) / Math.max(1, width - 1)),
    Math.floor((y * 255) / Math.max(1, height - 1)),
    Math.floor(((x + y) * 255) / Math.max(1, width + height - 2)),
  ]);
