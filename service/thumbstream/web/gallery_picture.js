/**
 * One picture of the gallery: its stream, its reference, and two other kinds of previews.
 *
 * Without a reference, because this browser cannot decode the format, only the preview of the stream
 * is shown, and the figures do not include the picture.
 */

import { gridOf, open, published, read, reduce, webpEncoder } from "./pictures.js";
import { ssim } from "./quality.js";
import { compress } from "./service.js";
import * as thumbhash from "./thumbhash.js";
import * as webp from "./webp.js";

const GRID = 32; // pixels, long side
const WEBP_QUALITIES = webp.QUALITIES.filter((_, i) => i % 4 === 0); // 25 files per picture

export class Picture {
  stream; // its first bytes, later all of it
  isStored = true;
  full = null; // Blob
  hash = null; // bytes of the ThumbHash
  #reference = null; // ImageData on the grid
  #webpFiles = []; // empty if the browser has no encoder
  #scores = new Map();

  /** A photograph of the page, whose stream is not stored. @param {import("./sources.js").Source} sample */
  static ofSample({ name, stream, width, height }) {
    const grid = gridOf({ width, height }, GRID);
    const answer = { id: name, length: stream.length, width, height, alpha: false };
    const picture = new Picture(name, { ...answer, thumb_width: grid.width, thumb_height: grid.height });
    return Object.assign(picture, { stream, isStored: false });
  }

  /** Upload a picture. Rejects as `compress()` of service.js. */
  static async upload(file, signal, options) {
    const answer = await compress(file, GRID, signal, options);
    const picture = new Picture(file.name.replace(/\.\w+$/, ""), answer);
    picture.stream = Uint8Array.from(atob(answer.prefix_base64), (letter) => letter.charCodeAt(0));
    return picture;
  }

  constructor(name, { id, length, width, height, thumb_width, thumb_height, alpha }) {
    Object.assign(this, { name, id, length, alpha, ratio: width / height });
    this.grid = { width: thumb_width, height: thumb_height };
  }

  get isMeasured() {
    return this.#reference !== null;
  }

  /** Open the file of the picture, if this browser can, and encode the other previews. @param {Blob} file */
  async open(file) {
    const bitmap = await open(file).catch(() => null);
    if (!bitmap) return;
    const reference = reduce(bitmap, this.grid, this.alpha);
    this.hash = thumbhash.encode(bitmap, this.alpha);
    this.full = this.isStored ? await published(bitmap, this.alpha) : file;
    bitmap.close();
    this.#webpFiles = await webp.encodeAll(webpEncoder(reference), WEBP_QUALITIES);
    this.#reference = reference;
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
