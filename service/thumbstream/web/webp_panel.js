/** The panel of a WebP file: of many qualities, the file nearest to the stream in bytes. */

import { read, webpEncoder } from "./pictures.js";
import * as webp from "./webp.js";

export class WebpPanel {
  #files = null; // null until encoded; [] if the browser has no encoder
  #reference = null; // ImageData
  #bytes = null; // of the stream, null until it is stored

  /**
   * @param {import("./panel.js").Panel} panel
   * @param {(picture: ImageData) => {ssim: number, psnr: number}} measure against the reference
   * @param {AbortSignal} signal
   */
  constructor(panel, measure, signal) {
    Object.assign(this, { panel, measure, signal });
  }

  /** Encode the files of a picture; they replace those of the previous one. */
  async setReference(reference) {
    this.#reference = reference;
    const files = await webp.encodeAll(webpEncoder(reference));
    if (reference !== this.#reference || this.signal.aborted) return;
    this.#files = files;
    if (this.#bytes !== null) this.show(this.#bytes);
  }

  /** Show the file nearest to a stream of `bytes` bytes. */
  async show(bytes) {
    this.#bytes = bytes;
    if (!this.#files) return;
    if (!this.#files.length) {
      this.panel.showMessage("This browser cannot encode WebP.");
      return;
    }
    const file = await this.#open(webp.pick(this.#files, bytes));
    if (this.signal.aborted || bytes !== this.#bytes) return;
    const over = file.bytes - bytes;
    this.panel.show(file.picture, {
      bytes: String(file.bytes),
      quality: file.score,
      note: over > 0 ? `smallest file, ${over} over` : `nearest file, ${-over} under`,
    });
  }

  async #open(file) {
    file.picture ??= await read(file.blob);
    file.score ??= this.measure(file.picture);
    return file;
  }
}
