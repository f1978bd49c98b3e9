/**
 * Streams to pictures: header -> symbols -> latents -> samples -> RGBA.
 *
 * A decoder has the weights of one model in its memory, and decodes synchronously.
 */

import { parseHeader } from "./bitstream.js";
import { streamBytes } from "./bytes.js";
import { rotateToAxis } from "./colors.js";
import { checkFormat } from "./errors.js";
import { createContextModel, createSteps, decodeLatents } from "./lapped.js";
import { createMemory } from "./memory.js";
import { gridOf, perGrid, pictureOf } from "./pixels.js";
import { createSynthesis } from "./synthesis.js";

/**
 * @param {object} weights what `readWeights` returns
 * @param {{modelId: string, bitstreamId: number}} model whose weights they are
 * @param {import("./kernels.js").Kernels} kernels for this decoder alone
 * @returns {import("./index.js").Decoder}
 */
export function createDecoder(weights, model, kernels) {
  const memory = createMemory(kernels);
  const createContext = createContextModel(weights, memory);
  const stepsOf = perGrid((grid) => createSteps(weights, grid, createContext));
  const synthesize = createSynthesis(weights, memory);

  const decodeSymbols = (bytes, header, grid) => {
    checkFormat(header.bitstreamId, model.bitstreamId, model.modelId);
    const layers = header.alpha ? 2 : 1;
    return memory.freeAfter(() =>
      decodeLatents(weights, bytes, header.length, layers, grid, stepsOf(grid)));
  };

  const symbols = (stream) => {
    const bytes = streamBytes(stream);
    const header = parseHeader(bytes);
    const grid = gridOf(header);
    const { layers: latents, decodedCount, axis, planes } = decodeSymbols(bytes, header, grid);
    return { latents, decodedCount, axis, planes, grid };
  };

  const decode = (stream) => {
    const bytes = streamBytes(stream);
    const header = parseHeader(bytes);
    if (header.bitstreamId === null) return pictureOf(header, []); // too short to name its format
    const grid = gridOf(header);
    const { layers, axis, planes, classes } = decodeSymbols(bytes, header, grid);
    const samples = layers.map((layer) =>
      memory.freeAfter(() => synthesize(layer, planes, classes, grid)));
    rotateToAxis(samples[0], weights, axis);
    return pictureOf(header, samples);
  };

  return { ...model, decode, symbols };
}
