/**
 * Streams to pictures: header -> symbols -> latents -> samples -> RGBA.
 *
 * A decoder holds one model in one memory. It never waits: what it is given it decodes.
 */

import { parseHeader } from "./bitstream.js";
import { averageOf } from "./average.js";
import { contextModel } from "./embedded_context.js";
import { BitstreamError } from "./errors.js";
import { memoryOf } from "./memory.js";
import { stepsOf } from "./nested.js";
import { readSymbols } from "./symbolstream.js";
import { synthesisOf } from "./synthesis.js";

const CELL = 8; // pixels
const PRODUCT = 7; // bitstreams before it are those of the paper's models
const OPAQUE = 255;
const UNKNOWN_SAMPLE = 128; // while the stream is too short to say which model reads it

/**
 * @param {object} weights what `readWeights` gives
 * @param {{modelId: string, bitstreamId: number}} model whose weights they are
 * @param {import("./kernels.js").Kernels} kernels for this decoder alone
 * @returns {import("./index.js").Decoder}
 */
export function decoderOf(weights, model, kernels) {
  const memory = memoryOf(kernels);
  const { starts, detail } = weights;
  const steps = stepsOf(weights).slice(0, weights.steps);
  const contextOf = contextModel(weights, memory);
  const draw = synthesisOf(weights, memory);

  const symbols = (stream) => {
    const { bitstreamId: id, length, alpha, width, height } = parseHeader(stream);
    if (id !== null && id !== model.bitstreamId) {
      const why = id < PRODUCT ? ", whose networks only a service has" : "";
      throw new BitstreamError(
        `a stream of bitstream ${id}${why}; ${model.modelId} reads bitstream ${model.bitstreamId}`,
      );
    }
    const grid = { rows: Math.ceil(height / CELL), columns: Math.ceil(width / CELL) };
    const layers = alpha ? 2 : 1;
    return memory.borrow(() => ({
      ...readSymbols({ starts, steps, contextOf }, stream, length, layers, grid),
      grid,
    }));
  };

  const decode = (stream) => {
    const header = parseHeader(stream);
    const [wide, high] = [header.width, header.height].map((side) => (side * detail) / CELL);
    const [width, height] = [Math.ceil(wide), Math.ceil(high)];
    const data = new Uint8ClampedArray(4 * width * height).fill(UNKNOWN_SAMPLE);
    if (header.bitstreamId !== null) {
      const { latents, grid } = symbols(stream);
      const [colours, grey] = latents.map((layer) => draw(layer, grid));
      paint(data, colours, grey, width, grid.columns * detail);
    } else if (!header.alpha) {
      for (let i = 3; i < data.length; i += 4) data[i] = OPAQUE;
    }
    const averageColor = averageOf(data, wide, high);
    return { width, height, aspectRatio: header.aspectRatio, averageColor, data };
  };

  return { ...model, decode, symbols };
}

/** Samples in [-1, 1] to RGBA, rounded and limited: of each row of `across` the first `width`. */
function paint(data, colours, grey, width, across) {
  const plane = colours.length / 3;
  for (let i = 0, p = 0; i < data.length; p += across - width) {
    for (const end = i + 4 * width; i < end; i += 4, p++) {
      let alpha = 0;
      for (let c = 0; c < 3; c++) {
        data[i + c] = (colours[p + c * plane] + 1) * 127.5;
        if (grey) alpha += grey[p + c * plane];
      }
      data[i + 3] = grey ? (alpha / 3 + 1) * 127.5 : OPAQUE;
    }
  }
}
