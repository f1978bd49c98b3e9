/**
 * Streams to pictures: header -> symbols -> latents -> samples -> RGBA.
 *
 * A decoder has the weights of one model in its memory, and decodes synchronously.
 */

import { parseHeader } from "./bitstream.js";
import { streamBytes } from "./bytes.js";
import { createContextModel } from "./context.js";
import { BitstreamError } from "./errors.js";
import { meanColor } from "./mean_color.js";
import { createMemory } from "./memory.js";
import { codingSteps } from "./quantizer.js";
import { decodeSymbols } from "./symbols.js";
import { createSynthesis } from "./synthesis.js";

const CELL = 8; // pixels
const GRAY = () => 0; // a sample of a stream that is too short to name its format

/**
 * @param {object} weights what `readWeights` returns
 * @param {{modelId: string, bitstreamId: number}} model whose weights they are
 * @param {import("./kernels.js").Kernels} kernels for this decoder alone
 * @returns {import("./index.js").Decoder}
 */
export function createDecoder(weights, model, kernels) {
  const memory = createMemory(kernels);
  const { starts, detail } = weights;
  const steps = codingSteps(weights).slice(0, weights.steps);
  const createContext = createContextModel(weights, memory);
  const synthesize = createSynthesis(weights, memory);

  const symbols = (stream) => {
    const bytes = streamBytes(stream);
    const { bitstreamId: id, length, alpha, width, height } = parseHeader(bytes);
    if (id !== null && id !== model.bitstreamId) {
      const service = id < model.bitstreamId ? ": set the option `decoder`" : "";
      throw new BitstreamError(
        `expected format ${model.bitstreamId} (${model.modelId}), got format ${id}${service}`,
      );
    }
    const grid = { rows: Math.ceil(height / CELL), columns: Math.ceil(width / CELL) };
    const layers = alpha ? 2 : 1;
    return memory.freeAfter(() => ({
      ...decodeSymbols({ starts, steps, createContext }, bytes, length, layers, grid),
      grid,
    }));
  };

  const decode = (stream) =>
    memory.freeAfter(() => {
      const header = parseHeader(streamBytes(stream));
      const { bitstreamId, alpha, aspectRatio } = header;
      const [wide, high] = [header.width, header.height].map((side) => (side * detail) / CELL);
      const [width, height] = [Math.ceil(wide), Math.ceil(high)];
      const data = new Uint8ClampedArray(4 * width * height);
      let color = GRAY, gray = alpha && GRAY;
      if (bitstreamId !== null) {
        const { latents, grid } = symbols(stream);
        [color, gray] = latents.map((layer) => synthesize(layer, grid));
      }
      for (let y = 0, i = 0; y < height; y++) {
        for (let x = 0; x < width; x++, i += 4) {
          let opacity = gray ? 0 : 1;
          for (let c = 0; c < 3; c++) {
            data[i + c] = (color(c, y, x) + 1) * 127.5;
            if (gray) opacity += gray(c, y, x) / 3;
          }
          data[i + 3] = (opacity + 1) * 127.5;
        }
      }
      return { width, height, aspectRatio, averageColor: meanColor(data, wide, high), data };
    });

  return { ...model, decode, symbols };
}
