/** SSIM over bytes: the frames seen so far, the WebP files, and the one point of ThumbHash. */

import { POSITIONS, positionOf } from "./scale.js";

const HEIGHT = 100; // units of the view box; its width is POSITIONS, the slider's own scale
const SVG = "http://www.w3.org/2000/svg";

const y = (ssim) => HEIGHT * (1 - Math.min(1, Math.max(0, ssim)));

/** Corners of a line through (bytes, ssim) points that lie on the scale, as an SVG path. */
export function path(points, length) {
  return points
    .filter(([bytes]) => bytes <= length)
    .map(([bytes, ssim], i) => {
      const at = `${positionOf(bytes, length)} ${y(ssim).toFixed(2)}`;
      return `${i ? "L" : "M"}${at}`;
    })
    .join("");
}

function ticksOf(svg, counts, length) {
  const group = svg.querySelector(".grid-lines");
  group.replaceChildren(
    ...counts.map((bytes) => {
      const line = document.createElementNS(SVG, "path");
      line.setAttribute("d", `M${positionOf(bytes, length)} 0V${HEIGHT}`);
      return line;
    }),
  );
}

/**
 * @param {SVGElement} svg
 * @param {{length: number, bytes: number, counts: number[], stream: number[][],
 *   webp: number[][], thumbhash: number[] | null}} data points are [bytes, ssim]
 */
export function draw(svg, { length, bytes, counts, stream, webp, thumbhash }) {
  ticksOf(svg, counts, length);
  svg.querySelector(".line-stream").setAttribute("d", path(stream, length));
  svg.querySelector(".line-webp").setAttribute("d", path(webp, length));
  const dot = thumbhash && thumbhash[0] <= length ? `${path([thumbhash], length)}h0` : "";
  svg.querySelector(".dot-thumbhash").setAttribute("d", dot);
  svg.querySelector(".here").setAttribute("d", `M${positionOf(bytes, length)} 0V${HEIGHT}`);
}
