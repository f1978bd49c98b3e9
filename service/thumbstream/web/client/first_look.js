/** What the first bytes of a stream show without weights: here one pixel, the mean color. */

import { averageColor } from "./average_color.js";
import { parseHeader } from "./bitstream.js";

/**
 * @param {Uint8Array} stream
 * @returns {import("./index.js").Picture}
 * @throws {import("./errors.js").BitstreamError}
 */
export function firstLook(stream) {
  const color = averageColor(stream);
  const data = Uint8ClampedArray.from(color.match(/\w\w/g), (digits) => parseInt(digits, 16));
  const { aspectRatio } = parseHeader(stream);
  const rgba = new Uint8ClampedArray([...data, 255].slice(0, 4));
  return { width: 1, height: 1, aspectRatio, averageColor: color, data: rgba };
}
