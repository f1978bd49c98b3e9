/**
 * One picture at one grid size: the photograph, its stream, and three other kinds of previews.
 *
 * All are measured against the reference, the photograph reduced to the grid of the stream. Without a
 * reference, because this browser cannot decode the format, the stream is shown without numbers.
 */

import * as blurhash from "./blurhash.js";
import { FilesPanel } from "./files_panel.js";
import { Frames } from "./frames.js";
import { Panel, countBytes } from "./panel.js";
import { gridOf, isTransparent, open, published, read, reduce, webpEncoder } from "./pictures.js";
import { psnr, ssim } from "./quality.js";
import { compress } from "./service.js";
import { previewsOf } from "./streams.js";
import * as thumbhash from "./thumbhash.js";
import * as webp from "./webp.js";

const SAMPLE_SIZE = 32; // grid of the streams that the page brings

/** All WebP files of a picture; metadata is removed. */
async function encodeWebp(picture) {
  const files = await webp.encodeAll(webpEncoder(picture));
  return files.map(({ bytes, blob }) => ({ bytes, read: () => read(blob) }));
}

/** What the service would answer for a picture whose stream the page has. */
function answerOf({ stream, width, height }) {
  const grid = gridOf({ width, height }, SAMPLE_SIZE);
  return {
    id: null,
    stream,
    length: stream.length,
    thumb_width: grid.width,
    thumb_height: grid.height,
    aspect_ratio: [width, height],
    alpha: false,
  };
}

export class Comparison {
  answer = null;
  /** `{url, bytes, width, height}` of the photograph as a page would publish it; null if unknown. */
  photograph = null;
  #abort = new AbortController();
  #reference = null;
  #bitmap = null;
  #frames = null;
  #hash = null;
  #shown = 0; // bytes of the frame that is shown
  #picture = null; // that frame
  #bytes = 0; // bytes of the requested frame
  #pending = [];
  #opened = Promise.resolve(null);

  /**
   * @param {HTMLElement} section
   * @param {import("./sources.js").Source} source
   * @param {number} size long side of the grid
   * @param {(error: Error) => void} onError
   */
  constructor(section, source, size, onError) {
    Object.assign(this, { section, source, size, onError });
    const panel = (id) => new Panel(section.querySelector(`#${id}`));
    this.panels = {
      original: panel("original"),
      stream: panel("stream"),
      thumbhash: panel("thumbhash"),
      blurhash: panel("blurhash"),
      webp: panel("webp"),
    };
    const files = (name, encode) =>
      new FilesPanel(this.panels[name], encode, (picture) => this.#measure(picture), this.#abort.signal);
    this.files = [files("blurhash", blurhash.encodeAll), files("webp", encodeWebp)];
  }

  get length() {
    return this.answer?.length ?? 0;
  }

  /** Resolves to the complete stream, or to null if the service decodes it. */
  get opened() {
    return this.#opened;
  }

  /** Bytes of the preview in each panel, in the order of the page. */
  get previewBytes() {
    const files = this.files.map((panel) => panel.bytesFor(this.#bytes));
    return [0, this.#bytes, this.#hash?.length ?? 0, ...files];
  }

  /** Show what needs no stream, and return when there is one: from the page, or from an upload. */
  async start({ bytes, onBusy, token }) {
    const { signal } = this.#abort;
    for (const panel of this.files) panel.show(bytes);
    for (const panel of Object.values(this.panels)) panel.clear();
    const referenced = this.#openReference();
    referenced.catch(() => {}); // aborted
    if (this.source.stream && this.size === SAMPLE_SIZE) {
      this.#setAnswer(answerOf(this.source));
      return;
    }
    await referenced;
    try {
      const file = this.source.file ?? (await (await fetch(this.source.url, { signal })).blob());
      this.#setAnswer(await compress(file, this.size, signal, { onBusy, token }));
    } catch (error) {
      if (!signal.aborted) this.panels.stream.showMessage("No stream.");
      throw error;
    }
    const { alpha, thumb_width: width, thumb_height: height } = this.answer;
    if (this.#reference && !this.#fits({ width, height }, alpha)) this.#setReference({ width, height }, alpha);
  }

  close() {
    this.#abort.abort();
    this.#frames?.close();
    this.#bitmap?.close();
    if (this.photograph?.url.startsWith("blob:")) URL.revokeObjectURL(this.photograph.url);
  }

  show(bytes) {
    this.#bytes = bytes;
    this.panels.stream.setBusy(!this.#frames.has(bytes));
    this.#frames.request(bytes);
    for (const panel of this.files) panel.show(bytes);
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

  async #openReference() {
    const { signal } = this.#abort;
    const image = this.section.querySelector("#photograph");
    const { file, url } = this.source;
    if (url) image.src = url; // the same address does not load again
    const bitmap = await open(file ?? image).catch(() => null);
    if (signal.aborted) bitmap?.close();
    signal.throwIfAborted();
    image.hidden = !bitmap;
    if (!bitmap) return this.#showNoReference();
    this.#bitmap = bitmap;
    await this.#setPhotograph(image);
    signal.throwIfAborted();
    this.#setReference(gridOf(bitmap, this.size), !this.source.stream);
  }

  async #setPhotograph(image) {
    const { width, height } = this.#bitmap;
    const { url, file, bytes, alt } = this.source;
    image.alt = alt;
    if (!file) {
      this.photograph = { url, bytes, width, height };
      return;
    }
    const blob = await published(this.#bitmap, true);
    this.photograph = { url: URL.createObjectURL(blob), bytes: blob.size, width, height };
    image.src = this.photograph.url;
  }

  #setAnswer(answer) {
    this.answer = answer;
    this.#setShape(answer.aspect_ratio[0] / answer.aspect_ratio[1], answer.alpha);
    const { previewOf, opened } = previewsOf(answer);
    this.#opened = opened;
    this.#frames = new Frames(
      previewOf,
      (bytes, picture) => this.#showFrame(bytes, picture),
      (error) => {
        this.panels.stream.setBusy(false);
        this.onError(error);
      },
    );
  }

  #measure(picture) {
    const reference = this.#reference;
    if (!reference || reference.width !== picture.width) return undefined;
    return {
      ssim: ssim(reference.data, picture.data, reference.width, reference.height),
      psnr: psnr(reference.data, picture.data),
    };
  }

  /** Whether the reference has the grid and the alpha of the stream. */
  #fits(grid, alpha) {
    const reference = this.#reference;
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

  #setReference(grid, alpha) {
    const bitmap = this.#bitmap;
    this.#reference = reduce(bitmap, grid, alpha);
    this.#setShape(bitmap.width / bitmap.height, isTransparent(this.#reference));
    this.panels.original.show(this.#reference, {
      bytes: this.source.bytes.toLocaleString("en"),
      note: `${bitmap.width} \u00d7 ${bitmap.height} pixels`,
    });
    this.#showThumbhash(thumbhash.encode(bitmap, alpha), grid);
    for (const panel of this.files) panel.setReference(this.#reference);
    if (this.#shown) this.#showFrame(this.#shown, this.#picture); // now with its numbers
  }

  #showNoReference() {
    this.panels.original.showMessage("This browser cannot show this format. The service may read it.");
    for (const name of ["thumbhash", "blurhash", "webp"]) {
      this.panels[name].showMessage("Not available.");
    }
  }

  #showThumbhash(hash, grid) {
    this.#hash = hash;
    const picture = thumbhash.decode(hash, grid);
    this.panels.thumbhash.show(picture, {
      bytes: String(hash.length),
      quality: this.#measure(picture),
      note: "fixed length",
    });
  }

  #showFrame(bytes, picture) {
    this.#shown = bytes;
    this.#picture = picture;
    this.panels.stream.show(picture, {
      bytes: String(bytes),
      quality: this.#measure(picture),
      note: `first of ${countBytes(this.length)}`,
    });
    const exact = bytes === this.#bytes;
    this.panels.stream.setBusy(!exact);
    if (exact) for (const done of this.#pending.splice(0)) done();
  }
}
