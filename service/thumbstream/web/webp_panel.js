/** The panel of the WebP files of one picture: of many qualities, the one nearest to the stream. */

import { read, webpEncoder } from "./pictures.js";
import * as webp from "./webp.js";

export class WebpPanel {
  #files = null; // null until measured; [] where the browser has no encoder
  #reference = null; // ImageData
  #bytes = null; // of the stream; null until there is one

  /**
   * @param {import("./panel.js").Panel} panel
   * @param {(picture: ImageData) => {ssim: number, psnr: number}} measure against the reference
   * @param {() => void} changed there are new points
   * @param {AbortSignal} signal
   */
  constructor(panel, measure, changed, signal) {
    Object.assign(this, { panel, measure, changed, signal });
  }

  /** `[bytes, ssim]` of the files that have been measured. */
  get points() {
    return (this.#files ?? [])
      .filter((file) => file.score)
      .map((file) => [file.bytes, file.score.ssim]);
  }

  /** Write the files of a picture, and measure them all; those of one before are forgotten. */
  async refer(reference) {
    this.#reference = reference;
    const files = await webp.ladder(webpEncoder(reference));
    const current = () => reference === this.#reference && !this.signal.aborted;
    if (!current()) return;
    this.#files = files;
    if (this.#bytes !== null) this.show(this.#bytes);
    for (const file of files) {
      await this.#open(file);
      if (!current()) return;
    }
    this.changed();
  }

  /** Show what comes nearest to a stream of so many bytes. */
  async show(bytes) {
    this.#bytes = bytes;
    if (!this.#files) return;
    if (!this.#files.length) {
      this.panel.say("This browser cannot write WebP files.");
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
