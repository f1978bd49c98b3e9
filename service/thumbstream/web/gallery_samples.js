/** Generated pictures of different shapes. */

import { sample } from "./sample.js";

const SHAPES = [3 / 2, 3 / 4, 1, 4 / 3, 2 / 3]; // width to height
const QUALITY = 0.85;
const SHOWN = 8;

const shapeOf = (seed) => SHAPES[seed % SHAPES.length];

/** @param {number} seed @returns {Promise<File>} a JPEG of 640 pixels' height */
async function generate(seed) {
  const full = await createImageBitmap(await sample(seed));
  const height = full.height;
  const width = Math.round(height * shapeOf(seed));
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d").drawImage(full, (width - full.width) / 2, 0);
  full.close();
  const blob = await canvas.convertToBlob({ type: "image/jpeg", quality: QUALITY });
  return new File([blob], `sample-${seed}.jpg`, { type: "image/jpeg" });
}

/** One after the other, so that the page can show its progress. */
export async function* samples(count) {
  for (let seed = 0; seed < count; seed++) yield generate(seed);
}

/**
 * Show a few of them before the first upload. They are not uploaded.
 * @param {HTMLElement} grid
 * @param {() => boolean} isEmpty whether the page has no other pictures
 */
export async function decorate(grid, isEmpty) {
  let seed = 0;
  for await (const file of samples(SHOWN)) {
    if (!isEmpty()) return;
    const figure = document.createElement("figure");
    const image = Object.assign(new Image(), { alt: "A generated lake", className: "sample" });
    image.style.aspectRatio = String(shapeOf(seed++));
    image.src = URL.createObjectURL(file);
    image.onload = () => URL.revokeObjectURL(image.src);
    figure.append(image);
    grid.append(figure);
  }
}
