/**
 * Shows and measures three kinds of previews with one budget.
 *
 * The kinds are loaded one after the other, so that none waits for the decoding of another. Each
 * action aborts the previous one.
 */

import { distribute } from "./gallery_budget.js";
import { transmit } from "./gallery_network.js";

export const WAYS = ["stream", "hash", "webp"];

const total = (numbers) => numbers.reduce((sum, number) => sum + number, 0);

/** @returns {number | null} null of nothing */
export const mean = (numbers) => (numbers.length ? total(numbers) / numbers.length : null);

/** Settles as the promise, or rejects when the signal aborts. */
function unless(signal, promise) {
  return new Promise((done, fail) => {
    signal.throwIfAborted();
    signal.addEventListener("abort", () => fail(signal.reason), { once: true });
    promise.then(done, fail);
  });
}

export class Show {
  tiles = [];
  #shares = new Map(); // id to bytes
  #stop = new AbortController();

  /**
   * @param {(way: string, figures: object) => void} report `bytes`, `first` and `all` (milliseconds),
   *   `ssim`; null is unknown
   * @param {(stream: Uint8Array) => Promise<{data: ArrayLike<number>}>} decode
   */
  constructor(report, decode) {
    this.report = report;
    this.decode = decode;
  }

  clear() {
    this.stop();
    for (const tile of this.tiles) tile.close();
    this.tiles = [];
  }

  stop() {
    this.#stop.abort();
    this.#stop = new AbortController();
    return this.#stop.signal;
  }

  /**
   * Distribute the bytes of the page.
   * @returns {Promise<boolean>} whether by curves, not in equal shares
   */
  async budget(bytes) {
    const signal = this.stop();
    const pictures = this.tiles.map(({ picture }) => picture);
    const { bytes: shares, planned } = await distribute(pictures, bytes, signal);
    this.#shares = shares;
    return planned;
  }

  /** Show the previews of the budget at once. Rejects with an AbortError if another action starts. */
  async show() {
    const signal = this.stop();
    const ways = this.#ways();
    for (const way of WAYS) this.#reportBytes(way, ways[way]);
    const shown = WAYS.flatMap((way) => ways[way].map((view) => view.show()));
    await unless(signal, Promise.all(shown));
    await this.#measure(ways, signal);
  }

  /**
   * Load the page again over a simulated link.
   * @param {{rate: number, full: boolean}} network rate in kbit/s; full: load the pictures too
   */
  async play({ rate, full }) {
    const signal = this.stop();
    const ways = this.#ways();
    for (const tile of this.tiles) tile.blank();
    for (const way of WAYS) this.#reportBytes(way, ways[way]);
    for (const way of WAYS) await this.#load(way, ways[way], rate, signal);
    const measured = this.#measure(ways, signal);
    if (full) await this.#loadFull(rate, signal);
    await measured;
  }

  async #load(way, views, rate, signal) {
    const start = performance.now();
    const painted = [];
    let first = null;
    const sizes = views.map(({ bytes }) => bytes);
    await transmit(sizes, rate, (index) => {
      const seen = () => {
        if (views[index].bytes) first ??= performance.now() - start;
      };
      const done = Promise.resolve(views[index].show(seen)).then(seen);
      done.catch(() => {}); // it is awaited below
      painted.push(done);
    }, signal);
    await unless(signal, Promise.all(painted));
    this.report(way, { first, all: first && performance.now() - start });
  }

  #loadFull(rate, signal) {
    const tiles = this.tiles.filter(({ picture }) => picture.full);
    const sizes = tiles.map(({ picture }) => picture.full.size);
    return transmit(sizes, rate, (index) => tiles[index].showFull(), signal);
  }

  /** The views of each kind: `{bytes, counts, show, score}`. */
  #ways() {
    const ways = { stream: [], hash: [], webp: [] };
    for (const tile of this.tiles) {
      const { picture } = tile;
      const bytes = Math.min(this.#shares.get(picture.id) ?? 0, picture.stream.length);
      ways.stream.push({
        bytes,
        counts: picture.isMeasured,
        show: (seen) => tile.preview(bytes, seen),
        // As in the service's plans, a picture without bytes has a score of 0.
        score: () => bytes && picture.score(`stream ${bytes}`,
          () => this.decode(picture.stream.subarray(0, bytes))),
      });
      if (!picture.isMeasured) continue;
      ways.hash.push({
        bytes: picture.hash.length,
        counts: true,
        show: () => tile.paint("hash", picture.hash.length, picture.decodeHash()),
        score: () => picture.score("hash", () => picture.decodeHash()),
      });
      const file = picture.webpOf(bytes);
      if (!file) continue;
      ways.webp.push({
        bytes: file.bytes,
        counts: true,
        show: async () => tile.paint("webp", file.bytes, await picture.decodeWebp(file)),
        score: () => picture.score(`webp ${file.bytes}`, () => picture.decodeWebp(file)),
      });
    }
    return ways;
  }

  #reportBytes(way, views) {
    const sizes = views.filter(({ counts }) => counts).map(({ bytes }) => bytes);
    const bytes = sizes.length ? total(sizes) : null;
    this.report(way, { bytes, first: null, all: null, ssim: null });
  }

  async #measure(ways, signal) {
    for (const way of WAYS) {
      const scores = [];
      for (const view of ways[way].filter(({ counts }) => counts)) {
        scores.push(await view.score());
        signal.throwIfAborted();
      }
      this.report(way, { ssim: mean(scores) });
    }
  }
}
