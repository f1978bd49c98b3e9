/** The panel of a codec with files of several sizes: the best that fits into the stream's bytes. */

import { pick } from "./webp.js";

export class FilesPanel {
  #files = null; // null until encoded; [] if this browser cannot
  #bytes = 0; // of the stream

  /**
   * @param {import("./panel.js").Panel} panel
   * @param {(picture: ImageData) => Promise<{bytes: number, read: () => Promise<ImageData>}[]>} encode
   *   all files of a picture, ascending
   * @param {(picture: ImageData) => {ssim: number, psnr: number}} measure against the reference
   * @param {AbortSignal} signal
   */
  constructor(panel, encode, measure, signal) {
    Object.assign(this, { panel, encode, measure, signal });
  }

  /** Encode the files of a picture; they replace those of the previous one. */
  async setReference(reference) {
    this.reference = reference;
    const files = await this.encode(reference);
    if (reference !== this.reference || this.signal.aborted) return;
    this.#files = files;
    this.show(this.#bytes);
  }

  /** Bytes of the file that is shown for `bytes` bytes of the stream; 0 without files. */
  bytesFor(bytes) {
    return this.#files?.length ? pick(this.#files, bytes).bytes : 0;
  }

  /** Show the file for a stream of `bytes` bytes. */
  async show(bytes) {
    this.#bytes = bytes;
    if (!this.#files) return;
    if (!this.#files.length) {
      this.panel.showMessage(`This browser cannot encode ${this.panel.name}.`);
      return;
    }
    const file = pick(this.#files, bytes);
    file.picture ??= await file.read();
    file.score ??= this.measure(file.picture);
    if (this.signal.aborted || bytes !== this.#bytes) return;
    const over = file.bytes - bytes;
    this.panel.show(file.picture, {
      bytes: String(file.bytes),
      quality: file.score,
      note: over > 0 ? `smallest: ${over} over` : over < 0 ? `${-over} under` : "as many",
    });
  }
}
