/**
 * One picture at one grid size: its reference, its stream, and the two other ways to preview it.
 *
 * Everything is measured against the reference, the original reduced to the grid of the stream.
 * A format that this browser cannot show leaves the reference empty: the stream is then shown
 * without numbers, and the others say why they are missing.
 */

import * as chart from "./chart.js";
import { Frames } from "./frames.js";
import { Panel, countBytes } from "./panel.js";
import { gridOf, isTransparent, open, reduce } from "./pictures.js";
import { psnr, ssim } from "./quality.js";
import { ticks } from "./scale.js";
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
  #thumbhashPoint = null;
  #streamPoints = new Map();
  #bytes = 0;
  #waiting = [];

  /** @param {HTMLElement} section @param {File} file @param {number} size long side of the grid */
  constructor(section, file, size, complain) {
    this.section = section;
    this.file = file;
    this.size = size;
    this.complain = complain;
    const panel = (id) => new Panel(section.querySelector(`#${id}`));
    this.panels = {
      original: panel("original"),
      stream: panel("stream"),
      thumbhash: panel("thumbhash"),
      webp: panel("webp"),
    };
    const measure = (picture) => this.#measure(picture);
    this.#webp = new WebpPanel(
      this.panels.webp, measure, () => this.#drawChart(), this.#abort.signal,
    );
  }

  get length() {
    return this.answer?.length ?? 0;
  }

  get hasReference() {
    return this.#reference !== null;
  }

  /** Show what needs no service, post the picture, and return when the stream is there. */
  async start({ onBusy, token }) {
    const { signal } = this.#abort;
    for (const panel of Object.values(this.panels)) panel.clear();
    const bitmap = await open(this.file).catch(() => null);
    signal.throwIfAborted();
    if (bitmap) this.#refer(bitmap, gridOf(bitmap, this.size), true);
    else this.#referToNothing();
    try {
      this.answer = await compress(this.file, this.size, signal, { onBusy, token });
    } catch (error) {
      if (!signal.aborted) this.panels.stream.say("No stream.");
      throw error;
    }
    const { alpha, aspect_ratio: aspect } = this.answer;
    const grid = { width: this.answer.thumb_width, height: this.answer.thumb_height };
    const guess = this.#reference;
    if (guess && !this.#fits(guess, grid, alpha)) this.#refer(bitmap, grid, alpha);
    bitmap?.close();
    this.#frame(aspect[0] / aspect[1], alpha);
    const previewOf = previewsOf(this.answer.id, this.answer.length);
    this.#frames = new Frames(
      async (bytes, stop) => this.#measured(bytes, await previewOf(bytes, stop)),
      (bytes, frame) => this.#showFrame(bytes, frame),
      (error) => {
        this.panels.stream.wait(false);
        this.complain(error);
      },
    );
  }

  close() {
    this.#abort.abort();
    this.#frames?.close();
  }

  show(bytes) {
    this.#bytes = bytes;
    this.panels.stream.wait(!this.#frames.has(bytes));
    this.#frames.want(bytes);
    this.#webp.show(bytes);
    this.#drawChart();
  }

  has(bytes) {
    return this.#frames.has(bytes);
  }

  prefetch(counts) {
    this.#frames.prefetch(counts);
  }

  settle() {
    this.#frames.settle();
  }

  /** Resolves when the frame that is wanted now has been shown. */
  settled() {
    return new Promise((done) => {
      if (this.#frames.has(this.#bytes)) done();
      else this.#waiting.push(done);
    });
  }

  /** What is seen at this byte count, in a sentence for those who do not see it. */
  summary(bytes) {
    const say = ({ figure, name }) => {
      const [length, similarity, noise] = [...figure.querySelectorAll("dd")].map(
        (value) => value.textContent,
      );
      return `${name} ${length} bytes, SSIM ${similarity}, PSNR ${noise} decibels`;
    };
    const { stream, webp: other } = this.panels;
    return `${countBytes(bytes)} of ${this.length}. ${say(stream)}. ${say(other)}.`;
  }

  #measure(picture) {
    const reference = this.#reference;
    if (!reference) return undefined;
    return {
      ssim: ssim(reference.data, picture.data, reference.width, reference.height),
      psnr: psnr(reference.data, picture.data),
    };
  }

  /** Whether what was guessed before the service answered is what it says. */
  #fits(guess, grid, alpha) {
    return (
      guess.width === grid.width &&
      guess.height === grid.height &&
      isTransparent(guess) === alpha
    );
  }

  /** The shape of the panels, and what shows through the pictures. */
  #frame(aspect, alpha) {
    const panels = this.section.querySelector(".panels");
    panels.style.setProperty("--aspect", aspect);
    panels.classList.toggle("transparent", alpha);
  }

  #refer(bitmap, grid, alpha) {
    this.#reference = reduce(bitmap, grid, alpha);
    this.#frame(bitmap.width / bitmap.height, isTransparent(this.#reference));
    this.panels.original.show(this.#reference, {
      bytes: this.file.size.toLocaleString("en"),
      note: `on a grid of ${grid.width} \u00d7 ${grid.height}`,
    });
    const input = reduce(bitmap, gridOf(bitmap, thumbhash.MAX_SIDE), alpha);
    this.#showThumbhash(thumbhash.encode(input.width, input.height, input.data), grid);
    this.#webp.refer(this.#reference);
  }

  #referToNothing() {
    this.panels.original.say("This browser cannot show this format; the service may.");
    this.panels.thumbhash.say("Needs the original.");
    this.panels.webp.say("Needs the original.");
  }

  #showThumbhash(hash, grid) {
    const { rgba } = thumbhash.decode(hash, grid);
    const picture = new ImageData(rgba, grid.width, grid.height);
    const quality = this.#measure(picture);
    this.#thumbhashPoint = [hash.length, quality.ssim];
    this.panels.thumbhash.show(picture, {
      bytes: String(hash.length),
      quality,
      note: `fixed at ${countBytes(hash.length)}`,
    });
  }

  #measured(bytes, picture) {
    const quality = this.#measure(picture);
    if (quality) this.#streamPoints.set(bytes, quality.ssim);
    this.#drawChart();
    return { picture, quality };
  }

  #showFrame(bytes, { picture, quality }) {
    this.panels.stream.show(picture, {
      bytes: String(bytes),
      quality,
      note: `first ${bytes} of ${countBytes(this.length)}`,
    });
    const exact = bytes === this.#bytes;
    this.panels.stream.wait(!exact);
    if (exact) for (const done of this.#waiting.splice(0)) done();
  }

  #drawChart() {
    if (!this.length || !this.#reference) return;
    chart.draw(this.section.querySelector(".chart"), {
      length: this.length,
      bytes: this.#bytes,
      counts: ticks(this.length),
      stream: [...this.#streamPoints].sort(([a], [b]) => a - b),
      webp: this.#webp.points,
      thumbhash: this.#thumbhashPoint,
    });
  }
}
