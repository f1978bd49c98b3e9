/**
 * The decoded prefixes of one stream: asked for once, shown as soon as they are of use.
 *
 * A slider makes wishes faster than any network answers. Only the latest wish waits; at most
 * PARALLEL requests run; and what is shown is always the frame at hand that is nearest to the
 * wish, under its own byte count. When the slider comes to rest, requests for other places are
 * cancelled. Prefetching uses the places that wishes leave free.
 */

const PARALLEL = 2;

export class Frames {
  #load;
  #show;
  #fail;
  #frames = new Map();
  #running = new Map();
  #failed = new Set();
  #queue = [];
  #wish = null;
  #shown = null;
  #closed = false;

  /**
   * @param {(bytes: number, signal: AbortSignal) => Promise<object>} load
   * @param {(bytes: number, frame: object) => void} show
   * @param {(error: Error) => void} fail called when a wished frame cannot be had
   */
  constructor(load, show, fail) {
    this.#load = load;
    this.#show = show;
    this.#fail = fail;
  }

  has(bytes) {
    return this.#frames.has(bytes);
  }

  /** Frames at hand: [bytes, frame], ascending. */
  entries() {
    return [...this.#frames].sort(([a], [b]) => a - b);
  }

  want(bytes) {
    this.#wish = bytes;
    this.#failed.delete(bytes);
    this.#refresh();
    this.#pump();
  }

  /** The wish will stay for a while: stop working for other places of the slider. */
  settle() {
    for (const [bytes, controller] of this.#running) {
      if (bytes !== this.#wish) controller.abort();
    }
  }

  /** Load these when there is nothing better to do; replaces what was asked before. */
  prefetch(counts) {
    this.#queue = [...counts];
    this.#pump();
  }

  close() {
    this.#closed = true;
    this.#queue = [];
    for (const controller of this.#running.values()) controller.abort();
  }

  #refresh() {
    const distance = (bytes) => Math.abs(Math.log(bytes / this.#wish));
    let best = null;
    for (const bytes of this.#frames.keys()) {
      if (best === null || distance(bytes) < distance(best)) best = bytes;
    }
    if (best === this.#shown) return;
    this.#shown = best;
    this.#show(best, this.#frames.get(best));
  }

  #next() {
    const open = (bytes) =>
      !this.#frames.has(bytes) && !this.#running.has(bytes) && !this.#failed.has(bytes);
    if (this.#wish !== null && open(this.#wish)) return this.#wish;
    while (this.#queue.length) {
      const bytes = this.#queue.shift();
      if (open(bytes)) return bytes;
    }
    return null;
  }

  #pump() {
    while (!this.#closed && this.#running.size < PARALLEL) {
      const bytes = this.#next();
      if (bytes === null) return;
      this.#run(bytes);
    }
  }

  async #run(bytes) {
    const controller = new AbortController();
    this.#running.set(bytes, controller);
    try {
      const frame = await this.#load(bytes, controller.signal);
      if (this.#closed) return;
      this.#frames.set(bytes, frame);
      if (this.#wish !== null) this.#refresh();
    } catch (error) {
      if (this.#closed || error.name === "AbortError") return;
      this.#failed.add(bytes);
      this.#queue = [];
      if (bytes === this.#wish) this.#fail(error);
    } finally {
      this.#running.delete(bytes);
      this.#pump();
    }
  }
}
