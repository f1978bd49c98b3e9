/** Drawn pictures of different shapes, for those who have no folder at hand. */

import { sample } from "./sample.js";

const SHAPES = [3 / 2, 3 / 4, 1, 4 / 3, 2 / 3]; // width to height
const QUALITY = 0.85;
const SHOWN = 8;

/** @param {number} seed @returns {Promise<File>} a JPEG of 640 pixels' height */
async function drawn(seed) {
  const whole = await createImageBitmap(await sample(seed));
  const height = whole.height;
  const width = Math.round(height * SHAPES[seed % SHAPES.length]);
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d").drawImage(whole, (width - whole.width) / 2, 0);
  whole.close();
  const blob = await canvas.convertToBlob({ type: "image/jpeg", quality: QUALITY });
  return new File([blob], `drawn-${seed}.jpg`, { type: "image/jpeg" });
}

/** One after another, so that the page can show them as they come. */
export async function* samples(count) {
  for (let seed = 0; seed < count; seed++) yield drawn(seed);
}

const shapeOf = (seed) => SHAPES[seed % SHAPES.length];

/**
 * A few of them on the page, before the first upload. They go nowhere.
 * @param {import("./gallery_masonry.js").Masonry} masonry
 * @param {() => boolean} isEmpty whether they are still wanted
 */
export async function decorate(masonry, isEmpty) {
  let seed = 0;
  for await (const file of samples(SHOWN)) {
    if (!isEmpty()) return;
    const figure = document.createElement("figure");
    const image = Object.assign(new Image(), { alt: "A drawn lake", className: "drawn" });
    const shape = shapeOf(seed++);
    image.style.aspectRatio = String(shape);
    image.src = URL.createObjectURL(file);
    image.onload = () => URL.revokeObjectURL(image.src);
    figure.append(image);
    masonry.add(figure, shape);
  }
}
