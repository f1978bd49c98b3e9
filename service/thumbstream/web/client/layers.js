/**
 * What is seen of an element, and the place that it takes: a preview, the picture over it, and, where
 * there is neither, what the page has inside or else the text.
 */

const UNKNOWN_RATIO = 1.5; // as long as nothing tells it
const FADE = 300; // ms
const STYLE = `
:host{display:inline-block;width:100%;max-width:100%;contain:layout paint}
canvas,img{position:absolute;inset:0;width:100%;height:100%;object-fit:inherit;object-position:inherit}
:host([hidden]),[hidden]{display:none}`;

let style;

export class Layers {
  /** Width to height as the stream tells it. */
  ratio;
  /** Bytes of the stream that the preview shows. */
  shown = 0;
  canvas = document.createElement("canvas");
  instead = document.createElement("slot");
  /** An `<img>`, once it is shown. */
  picture = null;
  #layout = new CSSStyleSheet();
  #root;

  /** @param {ShadowRoot} root */
  constructor(root) {
    if (!style) (style = new CSSStyleSheet()).replaceSync(STYLE);
    root.adoptedStyleSheets = [style, this.#layout];
    root.append(this.canvas, this.instead);
    this.#root = root;
    // To a screen reader, the element's own name tells all of it.
    Object.assign(this.canvas, { part: "preview", ariaHidden: "true", width: 0, height: 0 });
    Object.assign(this.instead, { hidden: true, ariaHidden: "true" });
  }

  /** Reserve the place. @param {{width: string, height: string}} host CSS pixels, or empty */
  layOut(host) {
    const [width, height] = [host.width, host.height].map(parseFloat);
    const ratio = width / height || this.ratio || UNKNOWN_RATIO;
    const size = width ? `width:${width}px` : height ? `width:auto;height:${height}px` : "";
    this.#layout.replaceSync(`:host{aspect-ratio:${ratio};${size}}`);
  }

  /** Of the stream before, nothing stays. */
  clear() {
    this.shown = this.canvas.width = this.canvas.height = 0;
    this.tint("");
    this.dropPicture();
  }

  /** The preview comes to the front again. */
  dropPicture() {
    this.picture?.remove();
    this.picture = null;
    this.#root.prepend(this.canvas);
  }

  /** The colour of what is not there yet. */
  tint(colour) {
    this.canvas.style.background = colour;
  }

  /** @param {import("./index.js").Picture} preview @param {number} bytes that it was made of */
  paint({ width, height, data }, bytes) {
    this.shown = bytes;
    Object.assign(this.canvas, { width, height });
    this.canvas.getContext("2d").putImageData(new ImageData(data, width, height), 0, 0);
    this.tint("");
    this.instead.hidden = true;
  }

  /** @param {HTMLImageElement} image decoded; it fades in over what is there */
  show(image) {
    const before = this.picture;
    this.picture = image;
    this.instead.hidden = true;
    this.#root.append(image);
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const fade = image.animate({ opacity: [0, 1] }, this.shown && !still ? FADE : 0);
    fade.finished.then(() => {
      before?.remove();
      if (image === this.picture) this.canvas.remove(); // it would be seen through the picture
    }, () => {});
  }
}
