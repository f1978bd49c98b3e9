/**
 * `<thumb-stream>`: an image that is shown from its first bytes on.
 *
 * The first bytes reserve the space and paint the mean color; then come the preview, sharper previews
 * as bytes arrive, and at last the picture itself (`full`), if there is one. To a page it behaves like
 * `<img>`. In Node, importing this module has no effect.
 */

import { ElementView } from "./element_view.js";
import { loadElement } from "./element_loader.js";
import { aspectRatio } from "./index.js";

export * from "./index.js";
export { decodeInBackground } from "./background.js";
export { prefixes } from "./fetch.js";

const STREAM = ["src", "stream", "decoder"];
const SOURCES = [...STREAM, "full", "srcset", "bytes", "sizes"];
const ATTRIBUTES = [...SOURCES, "loading", "alt", "width", "height"];
const LAZY_MARGIN = "600px"; // distance from the screen at which lazy loading starts

let observer;

/** @type {import("./element.js").ThumbStream} */
export class ThumbStream extends (globalThis.HTMLElement ?? Object) {
  static observedAttributes = ATTRIBUTES;

  #internals = this.attachInternals();
  #view = new ElementView(this.attachShadow({ mode: "open" }));
  #changed = new Set();
  #controller; // of the current load
  #outcome = ""; // "load" or "error"

  connectedCallback() {
    for (const name of ATTRIBUTES.filter((own) => Object.hasOwn(this, own))) {
      const value = this[name]; // set before the element was defined
      delete this[name];
      this[name] = value;
    }
    this.#change("loading");
  }

  disconnectedCallback() {
    observer?.unobserve(this);
    this.#controller?.abort();
  }

  attributeChangedCallback(name, before, value) {
    if (before !== value) this.#change(name);
  }

  get complete() {
    return this.#outcome !== "" || !(this.src || this.stream || this.full || this.srcset);
  }

  get naturalWidth() {
    const { picture, preview } = this.#view;
    return picture?.naturalWidth ?? preview.width;
  }

  get naturalHeight() {
    const { picture, preview } = this.#view;
    return picture?.naturalHeight ?? preview.height;
  }

  async decode() {
    if (!this.complete) {
      await new Promise((resolve) => {
        for (const type of ["load", "error"]) this.addEventListener(type, resolve, { once: true });
      });
    }
    if (this.#outcome === "error") throw new DOMException("no picture to show", "EncodingError");
  }

  /** Attributes that change together are handled together, before the page is painted again. */
  #change(name) {
    if (!this.#changed.size) queueMicrotask(() => this.#update());
    this.#changed.add(name);
    if (SOURCES.includes(name)) this.#outcome = "";
  }

  #update() {
    const view = this.#view;
    if (STREAM.some((name) => this.#changed.has(name))) {
      view.clear();
      try {
        view.streamRatio = undefined;
        view.streamRatio = aspectRatio(this.stream);
      } catch {
        // the load reports it
      }
    }
    this.#changed.clear();
    this.#internals.role = this.getAttribute("alt") === "" ? "presentation" : "img";
    this.#internals.ariaLabel = view.fallbackSlot.textContent = this.alt;
    view.layOut(this);
    if (this.complete || !this.isConnected) return;
    this.#controller?.abort();
    if (this.loading !== "lazy") return this.#load();
    observer ??= new IntersectionObserver(
      (entries) => {
        for (const { isIntersecting, target } of entries) {
          if (!isIntersecting) continue;
          observer.unobserve(target);
          target.#load();
        }
      },
      { rootMargin: LAZY_MARGIN },
    );
    observer.unobserve(this); // so that the observer reports its position again
    observer.observe(this);
  }

  async #load() {
    const controller = (this.#controller = new AbortController());
    let event = new Event("load");
    try {
      await loadElement(this, this.#view, controller);
    } catch (error) {
      if (controller.signal.aborted) return;
      this.#view.fallbackSlot.hidden = this.#view.paintedBytes > 0;
      event = new ErrorEvent("error", { error, message: error.message });
    }
    this.#outcome = event.type;
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
