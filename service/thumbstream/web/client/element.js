/**
 * `<thumb-stream>`: an image that its first bytes already show.
 *
 * The shape is reserved and the mean colour painted from the first bytes, at once; then the preview,
 * then sharper ones as bytes arrive, and at last the picture itself (`full`), if there is one. To a
 * page it is like `<img>`. Importing this where there is no page does nothing.
 */

import { prefixes } from "./fetch.js";
import { aspectRatio, averageColor } from "./index.js";
import { decodeInBackground, inTurn } from "./pool.js";

export * from "./index.js";
export { decodeInBackground, prefixes };

const STREAM = ["src", "stream"];
const FULL = ["full", "srcset"];
const SOURCES = [...STREAM, ...FULL, "bytes", "sizes"];
const ATTRIBUTES = [...SOURCES, "loading", "alt", "width", "height"];
const BYTES = { "slow-2g": 16, "2g": 32, "3g": 64 }; // by navigator.connection.effectiveType
const SAVING_BYTES = 16; // the visitor asks for less data
const USUAL_BYTES = 128;
const UNKNOWN_RATIO = 1.5; // as long as nothing tells it
const FADE = 300; // ms
const AHEAD = "600px"; // how far off the screen lazy loading begins
const STYLE = `
:host{display:inline-block;width:100%;max-width:100%;contain:layout paint}
canvas,img{position:absolute;inset:0;width:100%;height:100%;object-fit:inherit;object-position:inherit}
:host([hidden]),[hidden]{display:none}`;

let style, watcher;

/** @type {import("./element.js").ThumbStream} */
export class ThumbStream extends (globalThis.HTMLElement ?? Object) {
  static observedAttributes = ATTRIBUTES;

  #internals = this.attachInternals();
  #root = this.attachShadow({ mode: "open" });
  #layout = new CSSStyleSheet();
  #canvas = document.createElement("canvas");
  #instead = document.createElement("slot"); // what the page has inside, or else the text
  #picture = null; // of `full`, once it is shown
  #ratio;
  #shown = 0; // bytes
  #changed = new Set();
  #loading; // an AbortController
  #end = ""; // "load" or "error"

  constructor() {
    super();
    if (!style) (style = new CSSStyleSheet()).replaceSync(STYLE);
    this.#root.adoptedStyleSheets = [style, this.#layout];
    this.#canvas.part = "preview";
    this.#canvas.ariaHidden = "true";
    this.#instead.hidden = true;
    this.#instead.ariaHidden = "true"; // the element's own name is told already
    this.#root.append(this.#canvas, this.#instead);
  }

  connectedCallback() {
    for (const name of ATTRIBUTES.filter((own) => Object.hasOwn(this, own))) {
      const value = this[name]; // set before the page knew this class
      delete this[name];
      this[name] = value;
    }
    this.#change("loading");
  }

  disconnectedCallback() {
    watcher?.unobserve(this);
    this.#loading?.abort();
  }

  attributeChangedCallback(name, before, value) {
    if (before !== value) this.#change(name);
  }

  get complete() {
    return this.#end !== "" || !this.#asked;
  }

  get naturalWidth() {
    return this.#picture?.naturalWidth ?? (this.#shown && this.#canvas.width);
  }

  get naturalHeight() {
    return this.#picture?.naturalHeight ?? (this.#shown && this.#canvas.height);
  }

  decode() {
    return new Promise((done, fail) => {
      const settle = () =>
        this.#end === "error" ? fail(new DOMException("nothing to show", "EncodingError")) : done();
      if (this.complete) settle();
      else for (const type of ["load", "error"]) this.addEventListener(type, settle, { once: true });
    });
  }

  get #asked() {
    return [...STREAM, ...FULL].some((name) => this[name]);
  }

  /** Attributes that change together are dealt with together, before the page is painted again. */
  #change(name) {
    if (!this.#changed.size) queueMicrotask(() => this.#update());
    this.#changed.add(name);
    if (SOURCES.includes(name)) this.#end = "";
  }

  #update() {
    const isNew = STREAM.some((name) => this.#changed.has(name));
    this.#changed.clear();
    this.#internals.role = this.getAttribute("alt") === "" ? "presentation" : "img";
    this.#internals.ariaLabel = this.#instead.textContent = this.alt;
    if (isNew) this.#clear();
    this.#layOut();
    if (this.#end || !this.isConnected || !this.#asked) return;
    this.#loading?.abort();
    if (this.loading !== "lazy") return this.#load();
    watcher ??= new IntersectionObserver(
      (entries) => {
        for (const { isIntersecting, target } of entries) {
          if (!isIntersecting) continue;
          watcher.unobserve(target);
          target.#load();
        }
      },
      { rootMargin: AHEAD },
    );
    watcher.unobserve(this); // so that it is told again where the element is
    watcher.observe(this);
  }

  /** Of the picture before, nothing stays. */
  #clear() {
    this.#shown = this.#canvas.width = this.#canvas.height = 0;
    this.#canvas.style.background = "";
    this.#dropPicture();
    try {
      this.#ratio = undefined;
      this.#ratio = aspectRatio(this.#inlined());
    } catch {
      // It is told, if need be, when the picture is loaded.
    }
  }

  #dropPicture() {
    this.#picture?.remove();
    this.#picture = null;
    this.#root.prepend(this.#canvas);
  }

  #layOut() {
    const [width, height] = [this.width, this.height].map(parseFloat);
    const ratio = width / height || this.#ratio || UNKNOWN_RATIO;
    const size = width ? `width:${width}px` : height ? `width:auto;height:${height}px` : "";
    this.#layout.replaceSync(`:host{aspect-ratio:${ratio};${size}}`);
  }

  async #load() {
    const loading = (this.#loading = new AbortController());
    const { signal } = loading;
    try {
      const previews = this.#showPreviews(signal);
      if (FULL.some((name) => this[name])) {
        previews.catch(() => {});
        await this.#showPicture(signal);
        loading.abort();
      } else {
        this.#dropPicture();
        await previews;
      }
      this.#end = "load";
      this.dispatchEvent(new Event("load"));
    } catch (error) {
      if (signal.aborted) return;
      this.#end = "error";
      this.#instead.hidden = this.#shown > 0;
      this.dispatchEvent(new ErrorEvent("error", { error, message: error.message }));
    }
  }

  async #showPreviews(signal) {
    let newest, failure;
    let painting = Promise.resolve();
    const catchUp = async () => {
      while (newest.length > this.#shown) {
        const stream = newest;
        const picture = await decodeInBackground(stream);
        signal.throwIfAborted();
        this.#paint(picture);
        this.#shown = stream.length;
        this.dispatchEvent(new Event("preview"));
      }
    };
    try {
      for await (newest of this.#streams(signal)) {
        await this.#tint(newest, signal);
        painting = painting.then(catchUp);
        painting.catch(() => {}); // it is awaited below
      }
    } catch (error) {
      failure = error;
    }
    await painting;
    if (failure && (signal.aborted || !this.#shown)) throw failure; // else a prefix is a picture
  }

  /** Prefixes that are there, and then those that come. */
  #streams(signal) {
    const start = this.#inlined();
    const options = { bytes: this.#budget(), start, signal };
    return this.src ? prefixes(this.src, options) : start.length ? [start] : [];
  }

  /** The shape at once, the colour as soon as those before it have theirs. */
  async #tint(stream, signal) {
    if (this.#shown) return;
    this.#ratio = aspectRatio(stream);
    this.#layOut();
    const colour = await inTurn(() => averageColor(stream));
    if (!this.#shown && !signal.aborted) this.#canvas.style.background = colour;
  }

  #paint({ width, height, data }) {
    Object.assign(this.#canvas, { width, height });
    this.#canvas.getContext("2d").putImageData(new ImageData(data, width, height), 0, 0);
    this.#canvas.style.background = "";
    this.#instead.hidden = true;
  }

  async #showPicture(signal) {
    const image = new Image();
    signal.addEventListener("abort", () => {
      if (image !== this.#picture) image.src = image.srcset = "";
    });
    image.part = "full";
    image.alt = "";
    for (const name of ["sizes", "srcset"]) if (this[name]) image[name] = this[name];
    if (this.full) image.src = this.full;
    await image.decode();
    signal.throwIfAborted();
    const before = this.#picture;
    this.#picture = image;
    this.#instead.hidden = true;
    this.#root.append(image);
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const fade = image.animate({ opacity: [0, 1] }, this.#shown && !still ? FADE : 0);
    fade.finished.then(() => {
      before?.remove();
      if (image === this.#picture) this.#canvas.remove(); // it would be seen through the picture
    }, () => {});
  }

  #inlined() {
    return Uint8Array.from(atob(this.stream), (letter) => letter.charCodeAt(0));
  }

  #budget() {
    if (this.bytes === "all") return Infinity;
    const { saveData, effectiveType } = navigator.connection ?? {};
    return +this.bytes || (saveData ? SAVING_BYTES : (BYTES[effectiveType] ?? USUAL_BYTES));
  }
}

for (const name of ATTRIBUTES) {
  Object.defineProperty(ThumbStream.prototype, name, {
    get() {
      return this.getAttribute(name) ?? "";
    },
    set(value) {
      if (value == null) this.removeAttribute(name);
      else this.setAttribute(name, value);
    },
    configurable: true,
    enumerable: true,
  });
}

if (globalThis.customElements && !customElements.get("thumb-stream")) {
  customElements.define("thumb-stream", ThumbStream);
}
