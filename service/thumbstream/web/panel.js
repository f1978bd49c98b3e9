/** One of the compared pictures, with its numbers. */

import { paint } from "./pictures.js";

const integer = new Intl.NumberFormat("en");

export const countBytes = (bytes) => `${integer.format(bytes)} ${bytes === 1 ? "byte" : "bytes"}`;

export class Panel {
  /** @param {HTMLElement} figure */
  constructor(figure) {
    this.figure = figure;
    this.name = figure.querySelector("h3").textContent;
    this.canvas = figure.querySelector("canvas");
    this.message = figure.querySelector(".message");
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
    this.message.hidden = true;
    this.note.textContent = note;
    this.#write(bytes, quality);
    const score = quality ? `, SSIM ${quality.ssim.toFixed(3)}` : "";
    this.canvas.setAttribute("aria-label", `${this.name}, ${bytes} bytes${score}`);
    this.setBusy(false);
  }

  /** Show a text instead of a picture. */
  showMessage(text) {
    this.canvas.hidden = true;
    this.message.hidden = !text;
    this.message.textContent = text;
    this.note.textContent = "";
    this.#write("", undefined);
    this.setBusy(false);
  }

  setBusy(busy) {
    this.figure.setAttribute("aria-busy", String(busy));
  }

  clear() {
    this.showMessage("");
    this.setBusy(true);
  }

  #write(bytes, quality) {
    const texts = [bytes, quality?.ssim.toFixed(3), quality?.psnr.toFixed(1)];
    this.values.forEach((value, i) => {
      value.textContent = texts[i] || "\u2013";
    });
  }
}
