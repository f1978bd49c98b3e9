/**
 * `<thumb-stream>`: an image that its first bytes already show.
 *
 * The shape is reserved and the mean colour painted from the first bytes, at once; then the preview,
 * then sharper ones as bytes arrive, and at last the picture itself (`full`), if there is one. To a
 * page it is like `<img>`. Importing this where there is no page does nothing.
 */

import { aspectRatio } from "./index.js";
import { Layers } from "./layers.js";
import { inlined, load } from "./loading.js";

export * from "./index.js";
export { prefixes } from "./fetch.js";
export { decodeInBackground } from "./pool.js";

const STREAM = ["src", "stream", "decoder"];
const SOURCES = [...STREAM, "full", "srcset", "bytes", "sizes"];
const ATTRIBUTES = [...SOURCES, "loading", "alt", "width", "height"];
const AHEAD = "600px"; // how far off the screen lazy loading begins

let watcher;

/** @type {import("./element.js").ThumbStream} */
export class ThumbStream extends (globalThis.HTMLElement ?? Object) {
  static observedAttributes = ATTRIBUTES;

  #internals = this.attachInternals();
  #layers = new Layers(this.attachShadow({ mode: "open" }));
  #changed = new Set();
  #loading; // an AbortController
  #end = ""; // "load" or "error"

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
    return this.#end !== "" || !(this.src || this.stream || this.full || this.srcset);
  }

  get naturalWidth() {
    const { picture, canvas } = this.#layers;
    return picture?.naturalWidth ?? canvas.width;
  }

  get naturalHeight() {
    const { picture, canvas } = this.#layers;
    return picture?.naturalHeight ?? canvas.height;
  }

  async decode() {
    if (!this.complete) {
      await new Promise((go) => {
        for (const type of ["load", "error"]) this.addEventListener(type, go, { once: true });
      });
    }
    if (this.#end === "error") throw new DOMException("nothing to show", "EncodingError");
  }

  /** Attributes that change together are dealt with together, before the page is painted again. */
  #change(name) {
    if (!this.#changed.size) queueMicrotask(() => this.#update());
    this.#changed.add(name);
    if (SOURCES.includes(name)) this.#end = "";
  }

  #update() {
    const layers = this.#layers;
    if (STREAM.some((name) => this.#changed.has(name))) {
      layers.clear();
      try {
        layers.ratio = undefined;
        layers.ratio = aspectRatio(inlined(this));
      } catch {
        // It is told, if need be, when the picture is loaded.
      }
    }
    this.#changed.clear();
    this.#internals.role = this.getAttribute("alt") === "" ? "presentation" : "img";
    this.#internals.ariaLabel = layers.instead.textContent = this.alt;
    layers.layOut(this);
    if (this.complete || !this.isConnected) return;
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

  async #load() {
    const loading = (this.#loading = new AbortController());
    let event = new Event("load");
    try {
      await load(this, this.#layers, loading);
    } catch (error) {
      if (loading.signal.aborted) return;
      this.#layers.instead.hidden = this.#layers.shown > 0;
      event = new ErrorEvent("error", { error, message: error.message });
    }
    this.#end = event.type;
    this.dispatchEvent(event);
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
