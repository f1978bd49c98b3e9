/**
 * A slow connection, simulated: in each frame the preview appears when its bytes would have arrived,
 * and the photograph is uncovered from the top, as a baseline JPEG file is painted while it loads.
 */

const milliseconds = (bytes, rate) => (8 * bytes) / rate; // 1 kbit/s is 1 bit/ms

export class Throttle {
  #animations = [];

  /** @param {HTMLElement} panels with a `.frame` for each codec: a preview, and a photograph over it */
  constructor(panels) {
    this.panels = panels;
  }

  /**
   * @param {{url: string, bytes: number}} photograph
   * @param {number[]} previews bytes of the preview in each frame; 0: there is none
   * @param {number} rate kbit/s
   * @returns {Promise<number>} milliseconds of the slowest frame; never settles after `stop()`
   */
  async load({ url, bytes }, previews, rate) {
    this.stop();
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const duration = milliseconds(bytes, rate);
    this.panels.classList.add("loading");
    [...this.panels.querySelectorAll(".frame")].forEach((frame, i) => {
      const delay = milliseconds(previews[i], rate);
      const photograph = frame.querySelector(".photograph");
      if (!photograph.id) photograph.src = url;
      photograph.hidden = false;
      this.#animations.push(
        frame.querySelector("canvas").animate({ opacity: [0, 0] }, delay),
        photograph.animate(
          { clipPath: ["inset(0 0 100% 0)", "inset(0)"] },
          { delay, duration, fill: "both", easing: still ? "steps(1, end)" : "linear" },
        ),
      );
    });
    const animations = this.#animations;
    await Promise.all(animations.map(({ finished }) => finished)).catch(() => new Promise(() => {}));
    return duration + milliseconds(Math.max(...previews), rate);
  }

  /** Show the previews again. */
  stop() {
    for (const animation of this.#animations.splice(0)) animation.cancel();
    this.panels.classList.remove("loading");
    for (const photograph of this.panels.querySelectorAll(".photograph:not([id])")) photograph.hidden = true;
  }
}
