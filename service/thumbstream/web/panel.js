/** One of the pictures that stand beside each other, with the numbers under it. */

import { paint } from "./pictures.js";

const whole = new Intl.NumberFormat("en");

export const countBytes = (bytes) => `${whole.format(bytes)} ${bytes === 1 ? "byte" : "bytes"}`;

export class Panel {
  /** @param {HTMLElement} figure */
  constructor(figure) {
    this.figure = figure;
    this.name = figure.querySelector("h2").textContent;
    this.canvas = figure.querySelector("canvas");
    this.instead = figure.querySelector(".instead");
    this.note = figure.querySelector(".note");
    this.values = figure.querySelectorAll("dd");
  }

  /**
   * @param {ImageData} picture
   * @param {{bytes: string, quality?: {ssim: number, psnr: number}, note: string}} caption
   */
  show(picture, { bytes, quality, note }) {
    paint(this.canvas, picture);
    this.canvas.hidden = false;
    this.instead.hidden = true;
    this.note.textContent = note;
    this.#write(bytes, quality);
    const score = quality ? `, SSIM ${quality.ssim.toFixed(3)}` : "";
    this.canvas.setAttribute("aria-label", `${this.name}, ${bytes} bytes${score}`);
    this.wait(false);
  }

  /** No picture: say why in its place. */
  say(text) {
    this.canvas.hidden = true;
    this.instead.hidden = false;
    this.instead.textContent = text;
    this.note.textContent = "";
    this.#write("", undefined);
    this.wait(false);
  }

  wait(waiting) {
    this.figure.setAttribute("aria-busy", String(waiting));
  }

  clear() {
    this.say("");
    this.wait(true);
  }

  #write(bytes, quality) {
    const texts = [bytes, quality?.ssim.toFixed(3), quality?.psnr.toFixed(1)];
    this.values.forEach((value, i) => {
      value.textContent = texts[i] || "\u2013";
    });
  }
}
