/**
 * Pixels to streams, without networks: the linear transform of the published model alone.
 *
 * The bytes are those of thumbstream's Python encoder with effort "fast". docs/bitstream.md, "Format 8".
 */

import { layersOf } from "./encode_alpha.js";
import { rotateBest } from "./encode_colors.js";
import { headerOf } from "./encode_header.js";
import { compositeOverWhite, gridShape, reduceToGrid } from "./encode_reduce.js";
import { encodeLatents } from "./encode_symbols.js";
import { readTables } from "./encode_tables.js";
import { latentsOf, planesOf, samplesOf } from "./encode_transform.js";

const SIDE = 8; // pixels of a cell
const DEFAULT_SIZE = 32;
const MAX_SIZE = 256;

/** @type {import("./encode.js").encode} */
export function encode(picture, options) {
  const tables = readTables();
  const { layers, grid, finish } = prepare(tables, picture, options);
  return finish(layers.map((samples) => latentsOf(tables, samples, grid)));
}

/**
 * All but the latents.
 *
 * @param {object} tables of the model
 * @param {import("./encode.js").Pixels} picture
 * @param {import("./encode.js").EncodeOptions} [options]
 * @returns {{layers: Float64Array[], grid: {rows: number, columns: number},
 *   finish: (latents: Float64Array[]) => Uint8Array}} samples of each layer; `finish` makes the stream
 */
export function prepare(tables, picture, options = {}) {
  checkPicture(picture);
  checkOptions(options);
  const { size = DEFAULT_SIZE, maxBytes, alpha, original = picture } = options;
  const shown = alpha === "flatten" ? compositeOverWhite(picture) : picture;
  const small = reduceToGrid(shown, gridShape(original, size));
  const header = headerOf(small, original);
  const grid = { rows: Math.ceil(small.height / SIDE), columns: Math.ceil(small.width / SIDE) };
  const [colors, ...alphas] = layersOf(small).map((rgb) => planesOf(rgb, small, grid));
  const { axis, samples } = rotateBest(tables, colors, grid);
  const layers = [samples, ...alphas.map((planes) => samplesOf(tables, planes, grid))];
  const finish = (latents) => {
    const bytes = encodeLatents(tables, latents, grid, axis, maxBytes);
    return Uint8Array.of(...header, ...bytes).slice(0, maxBytes);
  };
  return { layers, grid, finish };
}

const isCount = (value) => Number.isSafeInteger(value) && value > 0;

function checkPicture({ width, height, data } = {}) {
  if (isCount(width) && isCount(height) && data?.length === 4 * width * height) {
    if (data.BYTES_PER_ELEMENT === 1) return;
    throw new TypeError("expected data of 8 bits: Uint8ClampedArray or Uint8Array");
  }
  throw new TypeError(
    "expected {width, height, data} with 4 bytes of RGBA per pixel, " +
      `got ${width} x ${height} pixels and ${data?.length} bytes`,
  );
}

/** @throws {RangeError} for an invalid option */
export function checkOptions({ size = DEFAULT_SIZE, maxBytes = 1, alpha = "keep", original }) {
  if (!isCount(size) || size > MAX_SIZE || size % SIDE) {
    throw new RangeError(`size must be a multiple of ${SIDE} up to ${MAX_SIZE}, got ${size}`);
  }
  if (!isCount(maxBytes)) throw new RangeError(`maxBytes must be a positive integer, got ${maxBytes}`);
  if (alpha !== "keep" && alpha !== "flatten") {
    throw new RangeError(`alpha must be "keep" or "flatten", got ${alpha}`);
  }
  if (original && !(isCount(original.width) && isCount(original.height))) {
    throw new RangeError("original must have width and height in pixels");
  }
}
