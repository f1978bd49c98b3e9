/** One picture on the page: its preview, and three views to compare it with. */

import { paint } from "./pictures.js";
import { ROOT, client } from "./service.js";

/** Address of the service's decoder, for streams of models without weights for browsers. */
export const DECODER = `${ROOT}/decode`;

function make(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

/** Remove the older elements of a view, which precede the element. */
function removeBefore(element) {
  while (element.previousElementSibling) element.previousElementSibling.remove();
}

export class Tile {
  #views = {};
  #labels = {};
  #canvas = null; // the newest preview
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
      if (name !== "stream") view.ariaHidden = "true"; // the table has the same information
      this.#views[name] = view;
      this.#labels[name] = { label, title };
      this.figure.append(view);
    }
    for (const name of ["hash", "webp"]) {
      const { width, height } = picture.grid;
      this.#views[name].prepend(make("canvas", { width, height, hidden: true }));
    }
  }

  /** Show the picture among the other views, after `picture.open()`. */
  showOriginal() {
    if (!this.picture.full) return;
    this.#url = URL.createObjectURL(this.picture.full);
    this.#views.original.prepend(make("img", { src: this.#url, alt: "" }));
  }

  /** Remove all previews; the space stays reserved. */
  blank() {
    removeBefore(this.#labels.stream.label);
    for (const name of ["hash", "webp"]) this.#views[name].firstChild.hidden = true;
  }

  /**
   * Show the first bytes of the stream in place of the previous preview.
   * @param {number} bytes
   * @param {() => void} [seen] shows the first look until the network has decoded the preview, and is
   *   called when it is painted
   * @returns {Promise<void>} resolves when all is painted, or replaced by a newer preview
   */
  async preview(bytes, seen) {
    this.#setLabel("stream", bytes);
    const canvas = make("canvas", { width: 0, height: 0, role: "img", ariaLabel: this.picture.name });
    this.#canvas = canvas;
    this.#labels.stream.label.before(canvas);
    if (bytes) {
      const stream = this.picture.stream.subarray(0, bytes);
      const { decodeInBackground, firstLook } = await client();
      const show = ({ width, height, data }) => {
        if (this.#canvas !== canvas) return;
        paint(canvas, new ImageData(data, width, height));
        removeBefore(canvas);
      };
      const decoding = decodeInBackground(stream, { decoder: DECODER });
      try {
        if (seen) show(firstLook(stream));
        seen?.();
      } catch {
        // The service decodes the streams of other models.
      }
      show(await decoding);
    } else {
      removeBefore(canvas);
    }
  }

  /** Show the picture over the preview. */
  showFull() {
    if (this.#url) this.#labels.stream.label.before(make("img", { src: this.#url, alt: "" }));
  }

  /** @param {"hash" | "webp"} name @param {number} bytes @param {ImageData} picture */
  paint(name, bytes, picture) {
    const canvas = this.#views[name].firstChild;
    paint(canvas, picture);
    canvas.hidden = false;
    this.#setLabel(name, bytes);
  }

  /** Remove the tile and free its memory. */
  close() {
    this.figure.remove();
    if (this.#url) URL.revokeObjectURL(this.#url);
  }

  #setLabel(name, bytes) {
    const { label, title } = this.#labels[name];
    label.textContent = `${title} ${bytes} B`;
  }
}
