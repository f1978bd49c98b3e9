/**
 * One picture of the gallery: its stream, its reference, and two other kinds of previews.
 *
 * Without a reference, because this browser cannot decode the format, only the preview of the stream
 * is shown, and the figures do not include the picture.
 */

import { open, read, reduce, webpEncoder } from "./pictures.js";
import { ssim } from "./quality.js";
import { compress } from "./service.js";
import * as thumbhash from "./thumbhash.js";
import * as webp from "./webp.js";

const GRID = 32; // pixels, long side
const FULL_SIDE = 640; // pixels, the size of pictures in a gallery
const FULL_QUALITY = 0.8;
const WEBP_QUALITIES = webp.QUALITIES.filter((_, i) => i % 4 === 0); // 25 files per picture

/** The picture as a gallery would publish it: reduced, as JPEG, or WebP with alpha. */
function reduced(bitmap, alpha) {
  const scale = Math.min(1, FULL_SIDE / Math.max(bitmap.width, bitmap.height));
  const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.ceil(side * scale));
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  const type = alpha ? "image/webp" : "image/jpeg";
  return canvas.convertToBlob({ type, quality: FULL_QUALITY });
}

export class Picture {
  stream; // its first bytes, later all of it
  full = null; // Blob
  hash = null; // bytes of the ThumbHash
  #reference = null; // ImageData on the grid
  #webpFiles = []; // empty if the browser has no encoder
  #scores = new Map();

  /** Upload a picture. Rejects as `compress()` of service.js. */
  static async of(file, signal, options) {
    const answer = await compress(file, GRID, signal, options);
    const picture = new Picture(file, answer);
    const bitmap = await open(file).catch(() => null);
    if (bitmap) await picture.#setReference(bitmap);
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

  async #setReference(bitmap) {
    this.#reference = reduce(bitmap, this.grid, this.alpha);
    this.hash = thumbhash.encode(bitmap, this.alpha);
    this.full = await reduced(bitmap, this.alpha);
    bitmap.close();
    this.#webpFiles = await webp.encodeAll(webpEncoder(this.#reference), WEBP_QUALITIES);
  }

  /** @returns {ImageData} on the grid */
  decodeHash() {
    return thumbhash.decode(this.hash, this.grid);
  }

  /** The longest WebP file of at most `bytes` bytes, or else the shortest; undefined if there are none. */
  webpOf(bytes) {
    return webp.pick(this.#webpFiles, bytes);
  }

  /** @returns {Promise<ImageData>} */
  decodeWebp(file) {
    return read(file.blob);
  }

  /**
   * SSIM of a preview against the picture on the same grid.
   * @param {string} key identifies the preview, which is measured once
   * @param {() => Promise<{data: ArrayLike<number>}> | {data: ArrayLike<number>}} decode
   */
  async score(key, decode) {
    if (!this.#scores.has(key)) {
      const { data } = await decode();
      const { width, height } = this.grid;
      this.#scores.set(key, ssim(this.#reference.data, data, width, height));
    }
    return this.#scores.get(key);
  }
}
