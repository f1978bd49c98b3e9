/**
 * Pictures in and out of the browser. A picture is an ImageData: RGBA, width * height * 4, alpha not
 * premultiplied.
 */

import { flatten, isOpaque } from "./alpha.js";
import { resample } from "./resample.js";

const REDUCING_GAP = 8; // halve on the canvas down to 8 times the grid, then filter once

function context(width, height) {
  const canvas = new OffscreenCanvas(width, height);
  const paper = canvas.getContext("2d", { willReadFrequently: true });
  paper.imageSmoothingQuality = "high";
  return paper;
}

function drawn(source, { width, height }) {
  const paper = context(width, height);
  paper.drawImage(source, 0, 0, width, height);
  return paper;
}

/** Decode a picture file, upright. Rejects if this browser does not know the format. */
export function open(blob) {
  return createImageBitmap(blob, { imageOrientation: "from-image" });
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
 * Reduce (or enlarge) a bitmap: halved in steps, so that no pixel is skipped, then Lanczos.
 * Without `alpha` it is laid over white first.
 */
export function reduce(bitmap, { width, height }, alpha) {
  let source = bitmap;
  let size = { width: bitmap.width, height: bitmap.height };
  while (size.width > 2 * REDUCING_GAP * width && size.height > 2 * REDUCING_GAP * height) {
    size = { width: Math.ceil(size.width / 2), height: Math.ceil(size.height / 2) };
    source = drawn(source, size).canvas;
  }
  const pixels = drawn(source, size).getImageData(0, 0, size.width, size.height);
  if (!alpha) pixels.data.set(flatten(pixels.data));
  return new ImageData(resample(pixels, width, height), width, height);
}

/** The pixels of a small encoded picture, at its own size. */
export async function read(blob) {
  const bitmap = await createImageBitmap(blob);
  const paper = drawn(bitmap, bitmap);
  bitmap.close();
  return paper.getImageData(0, 0, paper.canvas.width, paper.canvas.height);
}

/** The browser's own encoder; where it knows no WebP, the blob is a PNG. */
export function webpEncoder(picture) {
  const paper = context(picture.width, picture.height);
  paper.putImageData(picture, 0, 0);
  // Unlike toBlob() of a canvas on the page, this does not wait for the page to be idle.
  return (quality) => paper.canvas.convertToBlob({ type: "image/webp", quality });
}

/** Whether something shows through a picture. */
export const isTransparent = (picture) => !isOpaque(picture.data);

/** Show a picture on a canvas of the page, pixel by pixel. */
export function paint(canvas, picture) {
  canvas.width = picture.width;
  canvas.height = picture.height;
  canvas.getContext("2d").putImageData(picture, 0, 0);
}
