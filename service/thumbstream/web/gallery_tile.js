/** One picture on the page: its `<thumb-stream>`, and for the comparison three views beside it. */

import { paint } from "./pictures.js";

/** Decodes what the service's models made that the browser has no weights of. */
export const DECODER = "/decode";

function make(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

const toBase64 = (bytes) => btoa(String.fromCharCode(...bytes));

/** In a view, those in front of an element are older, and lie below it. */
function dropBefore(element) {
  while (element.previousElementSibling) element.previousElementSibling.remove();
}

export class Tile {
  #views = {};
  #labels = {};
  #element = null; // the newest <thumb-stream>
  #url = null;

  /** @param {import("./gallery_picture.js").Picture} picture */
  constructor(picture) {
    this.picture = picture;
    this.figure = make("figure", { className: "tile" });
    for (const [name, title] of [
      ["stream", "thumbstream"], ["original", "Original"], ["hash", "ThumbHash"], ["webp", "WebP"],
    ]) {
      const label = make("span", { className: "label" }, title);
      const view = make("div", { className: `view ${name}` }, label);
      view.style.aspectRatio = String(picture.ratio);
      if (name !== "stream") view.ariaHidden = "true"; // the table says what is to be known of it
      this.#views[name] = view;
      this.#labels[name] = { label, title };
      this.figure.append(view);
    }
    if (picture.full) {
      this.#url = URL.createObjectURL(picture.full);
      this.#views.original.prepend(make("img", { src: this.#url, alt: "" }));
    }
    for (const name of ["hash", "webp"]) {
      const { width, height } = picture.grid;
      this.#views[name].prepend(make("canvas", { width, height, hidden: true }));
    }
  }

  /** Nothing has arrived: the place stays. */
  blank() {
    for (const old of this.#views.stream.querySelectorAll("thumb-stream")) old.remove();
    for (const name of ["hash", "webp"]) this.#views[name].firstChild.hidden = true;
  }

  /**
   * Show the first bytes of the stream, over what is there until they are painted.
   * @returns {Promise<void>} when they are, and never where newer ones take their place before;
   *   rejects with what the element says is wrong
   */
  preview(bytes) {
    this.#say("stream", bytes);
    const stream = toBase64(this.picture.stream.subarray(0, bytes));
    const element = make("thumb-stream", { alt: this.picture.name, decoder: DECODER });
    this.#element = element;
    const painted = new Promise((done, fail) => {
      element.addEventListener("preview", () => done(dropBefore(element)), { once: true });
      element.addEventListener("error", ({ error }) => fail(error), { once: true });
    });
    this.#labels.stream.label.before(element);
    if (!bytes) return Promise.resolve(dropBefore(element));
    element.setAttribute("stream", stream);
    return painted;
  }

  /** The picture itself has arrived, and fades in. */
  showFull() {
    if (this.#url) this.#element?.setAttribute("full", this.#url);
  }

  /** @param {"hash" | "webp"} name @param {number} bytes @param {ImageData} picture */
  paint(name, bytes, picture) {
    const canvas = this.#views[name].firstChild;
    paint(canvas, picture);
    canvas.hidden = false;
    this.#say(name, bytes);
  }

  /** Forget what the browser holds for this picture. */
  close() {
    this.figure.remove();
    if (this.#url) URL.revokeObjectURL(this.#url);
  }

  #say(name, bytes) {
    const { label, title } = this.#labels[name];
    label.textContent = `${title} ${bytes} B`;
  }
}
