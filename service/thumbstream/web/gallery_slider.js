/** The slider of the page's budget, in bytes per picture. */

import { budgetText } from "./gallery_figures.js";
import { POSITIONS, afterKey, bytesAt, positionOf } from "./scale.js";

const REST = 120; // ms without a move

export class Slider {
  each; // bytes per picture
  #longest = 0; // bytes of the longest stream
  #count = 0; // pictures
  #resting;

  /**
   * @param {HTMLInputElement} input @param {HTMLOutputElement} output @param {number} each at first
   * @param {{onMove: () => void, onRest: () => void}} handlers
   */
  constructor(input, output, each, handlers) {
    Object.assign(this, { input, output, each, handlers });
    input.addEventListener("input", () => this.#move(bytesAt(Number(input.value), this.#longest)));
    input.addEventListener("keydown", (event) => {
      const next = afterKey(event.key, this.each, this.#longest);
      if (next === null || event.altKey || event.ctrlKey || event.metaKey) return;
      event.preventDefault(); // the default steps are those of the slider, not bytes
      this.#move(next);
    });
  }

  /** Adapt to the streams of other pictures. */
  fit(lengths) {
    this.#longest = Math.max(...lengths);
    this.#count = lengths.length;
    this.#show(Math.min(this.each, this.#longest));
  }

  /** Cancel a pending `onRest`. */
  stop() {
    clearTimeout(this.#resting);
  }

  #show(bytes) {
    const { input, output } = this;
    this.each = bytes;
    input.value = positionOf(bytes, this.#longest);
    input.style.setProperty("--at", input.value / POSITIONS);
    output.textContent = budgetText(bytes, this.#count);
    input.setAttribute("aria-valuetext", output.textContent);
  }

  #move(bytes) {
    this.#show(bytes);
    this.handlers.onMove();
    this.stop();
    this.#resting = setTimeout(this.handlers.onRest, REST);
  }
}
