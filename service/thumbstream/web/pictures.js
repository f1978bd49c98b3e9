/** Pictures as ImageData: RGBA, width * height * 4 samples, alpha not premultiplied. */

import { flatten, isOpaque } from "./alpha.js";
import { resample } from "./resample.js";

const PUBLISHED_SIDE = 640; // pixels, the size of pictures in a page
const PUBLISHED_QUALITY = 0.8;
const REDUCING_GAP = 8; // as the service

function context(width, height) {
  const canvas = new OffscreenCanvas(width, height);
  const context2d = canvas.getContext("2d", { willReadFrequently: true });
  context2d.imageSmoothingQuality = "high";
  return context2d;
}

function drawToContext(source, { width, height }) {
  const context2d = context(width, height);
  context2d.drawImage(source, 0, 0, width, height);
  return context2d;
}

/**
 * Decode a picture file or an `<img>`, upright. Rejects if this browser does not support the format.
 * @param {Blob | HTMLImageElement} source
 */
export async function open(source) {
  if (source instanceof HTMLImageElement) await source.decode();
  return createImageBitmap(source, { imageOrientation: "from-image" });
}

/** The picture as a page would publish it: reduced, as JPEG, or WebP with alpha. */
export function published(bitmap, alpha) {
  const scale = Math.min(1, PUBLISHED_SIDE / Math.max(bitmap.width, bitmap.height));
  const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.ceil(side * scale));
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  const type = alpha ? "image/webp" : "image/jpeg";
  return canvas.convertToBlob({ type, quality: PUBLISHED_QUALITY });
}

/** The thumbnail grid of a picture: `size` on the long side. */
export function gridOf({ width, height }, size) {
  const scale = size / Math.max(width, height);
  return {
    width: Math.max(1, Math.round(width * scale)),
    height: Math.max(1, Math.round(height * scale)),
  };
}

/**
 * Resize a bitmap: halve it repeatedly, so that no pixel is skipped, down to `gap` times the size, then
 * use Lanczos. Without `alpha` it is blended with white first.
 */
export function reduce(bitmap, { width, height }, alpha, gap = REDUCING_GAP) {
  let source = bitmap;
  let size = { width: bitmap.width, height: bitmap.height };
  while (size.width > 2 * gap * width && size.height > 2 * gap * height) {
    size = { width: Math.ceil(size.width / 2), height: Math.ceil(size.height / 2) };
    source = drawToContext(source, size).canvas;
  }
  const pixels = drawToContext(source, size).getImageData(0, 0, size.width, size.height);
  if (!alpha) pixels.data.set(flatten(pixels.data));
  return new ImageData(resample(pixels, width, height), width, height);
}

/** The pixels of a small encoded picture, at its own size. */
export async function read(blob) {
  const bitmap = await createImageBitmap(blob);
  const context2d = drawToContext(bitmap, bitmap);
  bitmap.close();
  return context2d.getImageData(0, 0, context2d.canvas.width, context2d.canvas.height);
}

/** The encoder of the browser; without WebP support it returns a PNG blob. */
export function webpEncoder(picture) {
  const context2d = context(picture.width, picture.height);
  context2d.putImageData(picture, 0, 0);
  // Unlike toBlob() of a canvas element, it does not wait until the page is idle.
  return (quality) => context2d.canvas.convertToBlob({ type: "image/webp", quality });
}

/** Whether a picture has transparent pixels. */
export const isTransparent = (picture) => !isOpaque(picture.data);

/** Show a picture on a canvas of the page, pixel by pixel. */
export function paint(canvas, picture) {
  canvas.width = picture.width;
  canvas.height = picture.height;
  canvas.getContext("2d").putImageData(picture, 0, 0);
}
