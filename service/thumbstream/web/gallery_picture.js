/**
 * One picture of the gallery, without the page: its stream, what it is measured against, and the two
 * other ways to preview it.
 *
 * A format that this browser cannot show has no reference: it is shown as a preview, and counts in
 * none of the figures.
 */

import { gridOf, open, read, reduce, webpEncoder } from "./pictures.js";
import { ssim } from "./quality.js";
import { compress } from "./service.js";
import * as thumbhash from "./thumbhash.js";
import * as webp from "./webp.js";

const GRID = 32; // pixels, long side
const FULL_SIDE = 640; // pixels; what a gallery shows, not what a camera takes
const FULL_QUALITY = 0.8;
const WEBP_QUALITIES = webp.QUALITIES.filter((_, i) => i % 4 === 0); // 25 files a picture

/** The picture as a gallery would have it: reduced, JPEG, or WebP where there is alpha. */
function reduced(bitmap, alpha) {
  const scale = Math.min(1, FULL_SIDE / Math.max(bitmap.width, bitmap.height));
  const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.ceil(side * scale));
  const canvas = new OffscreenCanvas(width, height);
  const paper = canvas.getContext("2d");
  paper.imageSmoothingQuality = "high";
  paper.drawImage(bitmap, 0, 0, width, height);
  const type = alpha ? "image/webp" : "image/jpeg";
  return canvas.convertToBlob({ type, quality: FULL_QUALITY });
}

export class Picture {
  stream; // its first bytes at first, all of it once it has come
  full = null; // Blob
  hash = null; // bytes of the ThumbHash
  #reference = null; // ImageData on the grid
  #webpFiles = []; // remains empty where the browser writes none
  #scores = new Map();

  /** Post a picture. Rejects as `compress()` of service.js does. */
  static async of(file, signal, options) {
    const answer = await compress(file, GRID, signal, options);
    const picture = new Picture(file, answer);
    const bitmap = await open(file).catch(() => null);
    if (bitmap) await picture.#refer(bitmap);
    return picture;
  }

  constructor(file, { id, length, width, height, thumb_width, thumb_height, alpha, prefix_base64 }) {
    this.name = file.name.replace(/\.\w+$/, "");
    this.stream = Uint8Array.from(atob(prefix_base64), (letter) => letter.charCodeAt(0));
    Object.assign(this, { id, length, alpha, ratio: width / height });
    this.grid = { width: thumb_width, height: thumb_height };
  }

  get isMeasured() {
    return this.#reference !== null;
  }

  async #refer(bitmap) {
    this.#reference = reduce(bitmap, this.grid, this.alpha);
    const input = reduce(bitmap, gridOf(bitmap, thumbhash.MAX_SIDE), this.alpha);
    this.hash = thumbhash.encode(input.width, input.height, input.data);
    this.full = await reduced(bitmap, this.alpha);
    bitmap.close();
    this.#webpFiles = await webp.ladder(webpEncoder(this.#reference), WEBP_QUALITIES);
  }

  /** The ThumbHash, drawn on the grid. @returns {ImageData} */
  drawHash() {
    const { rgba, width, height } = thumbhash.decode(this.hash, this.grid);
    return new ImageData(rgba, width, height);
  }

  /** The longest WebP file of at most so many bytes, else the shortest; undefined without any. */
  webpOf(bytes) {
    return webp.pick(this.#webpFiles, bytes);
  }

  /** @returns {Promise<ImageData>} */
  drawWebp(file) {
    return read(file.blob);
  }

  /**
   * SSIM of a preview against the picture on the same grid.
   * @param {string} key what the preview is, so that it is measured once
   * @param {() => Promise<{data: ArrayLike<number>}> | {data: ArrayLike<number>}} draw
   */
  async score(key, draw) {
    if (!this.#scores.has(key)) {
      const { data } = await draw();
      const { width, height } = this.grid;
      this.#scores.set(key, ssim(this.#reference.data, data, width, height));
    }
    return this.#scores.get(key);
  }
}
