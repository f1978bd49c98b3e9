/**
 * The mean color of a picture from the first bytes of its stream, without the weights.
 *
 * model_colors.generated.js has a small part of the tables, which decodes the first steps of a
 * stream exactly, and a linear map from these latents to a color: the decoder of a picture with one
 * sample per cell.
 */

import { fromText } from "./bytes.js";
import { createDecoder } from "./decoder.js";
import { Kernels } from "./kernels.js";
import { BITSTREAM_ID, COLOR_TABLES, MODEL_ID } from "./model.js";
import { wasmKernels } from "./wasm.js";
import { readWeights } from "./weights.js";

const SHIFT = 80; // added to each byte of COLOR_TABLES

let decoder, tables;

/** The tables and the linear map of model_colors.generated.js. */
export const colorTables = () => (tables ??= readWeights(fromText(COLOR_TABLES, SHIFT)));

/** @type {import("./index.js").averageColor} */
export function averageColor(stream) {
  const model = { modelId: MODEL_ID, bitstreamId: BITSTREAM_ID };
  decoder ??= createDecoder(colorTables(), model, wasmKernels() ?? new Kernels());
  return decoder.decode(stream).averageColor;
}
