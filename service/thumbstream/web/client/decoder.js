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
const UNKNOWN = () => 0; // a sample, while the stream is too short to say which model reads it

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

  const decode = (stream) =>
    memory.borrow(() => {
      const { bitstreamId, alpha, aspectRatio, width: across, height: down } = parseHeader(stream);
      const [wide, high] = [across, down].map((side) => (side * detail) / CELL);
      const [width, height] = [Math.ceil(wide), Math.ceil(high)];
      const data = new Uint8ClampedArray(4 * width * height);
      let colours = UNKNOWN, grey = alpha && UNKNOWN;
      if (bitstreamId !== null) {
        const { latents, grid } = symbols(stream);
        [colours, grey] = latents.map((layer) => draw(layer, grid));
      }
      for (let y = 0, i = 0; y < height; y++) {
        for (let x = 0; x < width; x++, i += 4) {
          let opacity = grey ? 0 : 1;
          for (let c = 0; c < 3; c++) {
            data[i + c] = (colours(c, y, x) + 1) * 127.5;
            if (grey) opacity += grey(c, y, x) / 3;
          }
          data[i + 3] = (opacity + 1) * 127.5;
        }
      }
      return { width, height, aspectRatio, averageColor: averageOf(data, wide, high), data };
    });

  return { ...model, decode, symbols };
}
