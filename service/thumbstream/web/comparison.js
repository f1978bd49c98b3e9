/**
 * One picture at one grid size: its reference, its stream, and two other kinds of previews.
 *
 * All are measured against the reference, the original reduced to the grid of the stream. Without a
 * reference, because this browser cannot decode the format, the stream is shown without numbers.
 */

import { Frames } from "./frames.js";
import { Panel, countBytes } from "./panel.js";
import { gridOf, isTransparent, open, reduce } from "./pictures.js";
import { psnr, ssim } from "./quality.js";
import { compress } from "./service.js";
import { previewsOf } from "./streams.js";
import * as thumbhash from "./thumbhash.js";
import { WebpPanel } from "./webp_panel.js";

export class Comparison {
  answer = null;
  #abort = new AbortController();
  #reference = null;
  #frames = null;
  #webp;
  #bytes = 0;
  #pending = [];

  /** @param {HTMLElement} section @param {File} file @param {number} size long side of the grid */
  constructor(section, file, size, onError) {
    this.section = section;
    this.file = file;
    this.size = size;
    this.onError = onError;
    const panel = (id) => new Panel(section.querySelector(`#${id}`));
    this.panels = {
      original: panel("original"),
      stream: panel("stream"),
      thumbhash: panel("thumbhash"),
      webp: panel("webp"),
    };
    const measure = (picture) => this.#measure(picture);
    this.#webp = new WebpPanel(this.panels.webp, measure, this.#abort.signal);
  }

  get length() {
    return this.answer?.length ?? 0;
  }

  get hasReference() {
    return this.#reference !== null;
  }

  /** Show what needs no service, upload the picture, and return when its stream is stored. */
  async start({ onBusy, token }) {
    const { signal } = this.#abort;
    for (const panel of Object.values(this.panels)) panel.clear();
    const bitmap = await open(this.file).catch(() => null);
    signal.throwIfAborted();
    if (bitmap) this.#setReference(bitmap, gridOf(bitmap, this.size), true);
    else this.#showNoReference();
    try {
      this.answer = await compress(this.file, this.size, signal, { onBusy, token });
    } catch (error) {
      if (!signal.aborted) this.panels.stream.showMessage("No stream.");
      throw error;
    }
    const { alpha, aspect_ratio: aspect } = this.answer;
    const grid = { width: this.answer.thumb_width, height: this.answer.thumb_height };
    const reference = this.#reference;
    if (reference && !this.#fits(reference, grid, alpha)) this.#setReference(bitmap, grid, alpha);
    bitmap?.close();
    this.#setShape(aspect[0] / aspect[1], alpha);
    const previewOf = previewsOf(this.answer.id, this.answer.length);
    this.#frames = new Frames(
      async (bytes, stop) => {
        const picture = await previewOf(bytes, stop);
        return { picture, quality: this.#measure(picture) };
      },
      (bytes, frame) => this.#showFrame(bytes, frame),
      (error) => {
        this.panels.stream.setBusy(false);
        this.onError(error);
      },
    );
  }

  close() {
    this.#abort.abort();
    this.#frames?.close();
  }

  show(bytes) {
    this.#bytes = bytes;
    this.panels.stream.setBusy(!this.#frames.has(bytes));
    this.#frames.request(bytes);
    this.#webp.show(bytes);
  }

  has(bytes) {
    return this.#frames.has(bytes);
  }

  prefetch(counts) {
    this.#frames.prefetch(counts);
  }

  /** Cancel the requests for other frames. */
  cancelOthers() {
    this.#frames.cancelOthers();
  }

  /** Resolves when the requested frame is shown. */
  shown() {
    return new Promise((done) => {
      if (this.#frames.has(this.#bytes)) done();
      else this.#pending.push(done);
    });
  }

  /** What is shown at this byte count, as a sentence for screen readers. */
  summary(bytes) {
    const describe = ({ figure, name }) => {
      const [length, similarity, noise] = [...figure.querySelectorAll("dd")].map(
        (value) => value.textContent,
      );
      return `${name} ${length} bytes, SSIM ${similarity}, PSNR ${noise} decibels`;
    };
    const { stream, webp: other } = this.panels;
    return `${countBytes(bytes)} of ${this.length}. ${describe(stream)}. ${describe(other)}.`;
  }

  #measure(picture) {
    const reference = this.#reference;
    if (!reference) return undefined;
    return {
      ssim: ssim(reference.data, picture.data, reference.width, reference.height),
      psnr: psnr(reference.data, picture.data),
    };
  }

  /** Whether the reference has the grid and the alpha of the stream. */
  #fits(reference, grid, alpha) {
    return (
      reference.width === grid.width &&
      reference.height === grid.height &&
      isTransparent(reference) === alpha
    );
  }

  /** Set the aspect ratio of the panels, and whether they have a background pattern. */
  #setShape(aspect, alpha) {
    const panels = this.section.querySelector(".panels");
    panels.style.setProperty("--aspect", aspect);
    panels.classList.toggle("transparent", alpha);
  }

  #setReference(bitmap, grid, alpha) {
    this.#reference = reduce(bitmap, grid, alpha);
    this.#setShape(bitmap.width / bitmap.height, isTransparent(this.#reference));
    this.panels.original.show(this.#reference, {
      bytes: this.file.size.toLocaleString("en"),
      note: `on a grid of ${grid.width} \u00d7 ${grid.height}`,
    });
    this.#showThumbhash(thumbhash.encode(bitmap, alpha), grid);
    this.#webp.setReference(this.#reference);
  }

  #showNoReference() {
    this.panels.original.showMessage("This browser cannot decode this format. The service may.");
    this.panels.thumbhash.showMessage("Not available without the original.");
    this.panels.webp.showMessage("Not available without the original.");
  }

  #showThumbhash(hash, grid) {
    const picture = thumbhash.decode(hash, grid);
    this.panels.thumbhash.show(picture, {
      bytes: String(hash.length),
      quality: this.#measure(picture),
      note: `fixed at ${countBytes(hash.length)}`,
    });
  }

  #showFrame(bytes, { picture, quality }) {
    this.panels.stream.show(picture, {
      bytes: String(bytes),
      quality,
      note: `first ${bytes} of ${countBytes(this.length)}`,
    });
    const exact = bytes === this.#bytes;
    this.panels.stream.setBusy(!exact);
    if (exact) for (const done of this.#pending.splice(0)) done();
  }
}
