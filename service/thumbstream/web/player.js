/** Moves the slider from the first byte to the last, waiting for each frame. */

const FRAME = 110; // ms
const STILL_FRAME = 1400; // ms, for reduced motion: few steps
const POLL = 30; // ms between checks for a frame
const TIMEOUT = 8000; // ms without a new frame

export class Player {
  #timer = null;

  /** @param {(playing: boolean) => void} changed */
  constructor(changed) {
    this.changed = changed;
  }

  get playing() {
    return this.#timer !== null;
  }

  /**
   * @param {{smooth: number[], still: number[]}} counts byte counts, ascending
   * @param {(bytes: number) => boolean} ready
   * @param {(bytes: number) => void} step
   */
  play(counts, ready, step) {
    this.stop();
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const queue = still ? [...counts.still] : [...counts.smooth];
    let waited = 0;
    const tick = () => {
      if (queue.length === 0 || waited > TIMEOUT) return this.stop();
      if (!ready(queue[0])) {
        waited += POLL;
        this.#timer = setTimeout(tick, POLL);
        return;
      }
      waited = 0;
      this.#timer = setTimeout(tick, still ? STILL_FRAME : FRAME);
      step(queue.shift());
    };
    this.#timer = setTimeout(tick, 0);
    this.changed(true);
  }

  stop() {
    if (!this.playing) return;
    clearTimeout(this.#timer);
    this.#timer = null;
    this.changed(false);
  }
}
