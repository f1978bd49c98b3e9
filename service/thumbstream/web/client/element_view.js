/**
 * What an element shows and how large it is: a preview, the picture over it, or, if there is neither,
 * the fallback content of the page or the text of `alt`.
 */

const DEFAULT_RATIO = 1.5; // until the stream or the attributes give one
const FADE = 300; // ms
const STYLE = `
:host{display:inline-block;width:100%;max-width:100%;contain:layout paint}
canvas,img{position:absolute;inset:0;width:100%;height:100%;object-fit:inherit;object-position:inherit}
:host([hidden]),[hidden]{display:none}`;

let style;

export class ElementView {
  /** Width to height ratio of the stream. */
  streamRatio;
  /** Length of the prefix that is painted, in bytes; 0 if none is. */
  paintedBytes = 0;
  preview = document.createElement("canvas");
  fallbackSlot = document.createElement("slot");
  /** The `<img>` on top of the preview, or null. */
  picture = null;
  #layout = new CSSStyleSheet();
  #root;

  /** @param {ShadowRoot} root */
  constructor(root) {
    if (!style) (style = new CSSStyleSheet()).replaceSync(STYLE);
    root.adoptedStyleSheets = [style, this.#layout];
    root.append(this.preview, this.fallbackSlot);
    this.#root = root;
    // Screen readers use the name of the element itself.
    Object.assign(this.preview, { part: "preview", ariaHidden: "true", width: 0, height: 0 });
    Object.assign(this.fallbackSlot, { hidden: true, ariaHidden: "true" });
  }

  /** Reserve the space. @param {{width: string, height: string}} host CSS pixels, or empty */
  layOut(host) {
    const [width, height] = [host.width, host.height].map(parseFloat);
    const ratio = width / height || this.streamRatio || DEFAULT_RATIO;
    const size = width ? `width:${width}px` : height ? `width:auto;height:${height}px` : "";
    this.#layout.replaceSync(`:host{aspect-ratio:${ratio};${size}}`);
  }

  /** Remove everything that belongs to the previous stream. */
  clear() {
    this.paintedBytes = this.preview.width = this.preview.height = 0;
    this.fillColor("");
    this.removePicture();
  }

  /** Show the preview again. */
  removePicture() {
    this.picture?.remove();
    this.picture = null;
    this.#root.prepend(this.preview);
  }

  /** @param {string} color of the area until the first preview is painted */
  fillColor(color) {
    this.preview.style.background = color;
  }

  /** @param {import("./index.js").Picture} preview @param {number} bytes length of its prefix */
  paint({ width, height, data }, bytes) {
    this.paintedBytes = bytes;
    Object.assign(this.preview, { width, height });
    this.preview.getContext("2d").putImageData(new ImageData(data, width, height), 0, 0);
    this.fillColor("");
    this.fallbackSlot.hidden = true;
  }

  /** @param {HTMLImageElement} image decoded; it fades in over what is shown */
  showPicture(image) {
    const before = this.picture;
    this.picture = image;
    this.fallbackSlot.hidden = true;
    this.#root.append(image);
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const fade = image.animate({ opacity: [0, 1] }, this.paintedBytes && !still ? FADE : 0);
    fade.finished.then(() => {
      before?.remove();
      if (image === this.picture) this.preview.remove(); // it would show through a transparent picture
    }, () => {});
  }
}
