/**
 * The decoded prefixes of one stream, loaded once each.
 *
 * A slider requests frames faster than they load. Only the latest request waits, at most PARALLEL
 * loads run, and the loaded frame nearest to the request is shown, with its own byte count. When the
 * slider rests, the loads of other frames are canceled. Prefetching uses the free capacity.
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
  #requested = null;
  #shown = null;
  #closed = false;

  /**
   * @param {(bytes: number, signal: AbortSignal) => Promise<object>} load
   * @param {(bytes: number, frame: object) => void} show
   * @param {(error: Error) => void} fail called if the requested frame fails to load
   */
  constructor(load, show, fail) {
    this.#load = load;
    this.#show = show;
    this.#fail = fail;
  }

  has(bytes) {
    return this.#frames.has(bytes);
  }

  /** Show this frame, or the nearest one until it is loaded. */
  request(bytes) {
    this.#requested = bytes;
    this.#failed.delete(bytes);
    this.#refresh();
    this.#pump();
  }

  /** Cancel the loads of other frames. */
  cancelOthers() {
    for (const [bytes, controller] of this.#running) {
      if (bytes !== this.#requested) controller.abort();
    }
  }

  /** Load these frames with free capacity; replaces the previous list. */
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
    const distance = (bytes) => Math.abs(Math.log(bytes / this.#requested));
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
    if (this.#requested !== null && open(this.#requested)) return this.#requested;
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
      if (this.#requested !== null) this.#refresh();
    } catch (error) {
      if (this.#closed || error.name === "AbortError") return;
      this.#failed.add(bytes);
      this.#queue = [];
      if (bytes === this.#requested) this.#fail(error);
    } finally {
      this.#running.delete(bytes);
      this.#pump();
    }
  }
}
