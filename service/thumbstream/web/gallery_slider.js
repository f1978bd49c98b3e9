/** The slider of the page's budget: how many bytes a picture, and what that is in words. */

import { budgetText } from "./gallery_figures.js";
import { POSITIONS, afterKey, bytesAt, positionOf } from "./scale.js";

const REST = 120; // ms without a move before what it asks for is done

export class Slider {
  each; // bytes a picture
  #longest = 0; // bytes of the longest stream
  #count = 0; // pictures
  #resting;

  /**
   * @param {HTMLInputElement} input @param {HTMLOutputElement} output @param {number} each at first
   * @param {{moved: () => void, rested: () => void}} then
   */
  constructor(input, output, each, then) {
    Object.assign(this, { input, output, each, then });
    input.addEventListener("input", () => this.#move(bytesAt(Number(input.value), this.#longest)));
    input.addEventListener("keydown", (event) => {
      const next = afterKey(event.key, this.each, this.#longest);
      if (next === null || event.altKey || event.ctrlKey || event.metaKey) return;
      event.preventDefault(); // the browser would step along the slider, not along the bytes
      this.#move(next);
    });
  }

  /** There are other pictures: the budget stays as far as their streams reach. */
  fit(lengths) {
    this.#longest = Math.max(...lengths);
    this.#count = lengths.length;
    this.#show(Math.min(this.each, this.#longest));
  }

  /** Forget a move that has not been told yet. */
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
    this.then.moved();
    this.stop();
    this.#resting = setTimeout(this.then.rested, REST);
  }
}
