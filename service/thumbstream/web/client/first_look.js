/** The first look: what the first bytes of a stream show without weights. */

import { parseHeader } from "./bitstream.js";
import { streamBytes } from "./bytes.js";
import { rotateToAxis } from "./colors.js";
import { checkFormat } from "./errors.js";
import { drawLatents } from "./linear.js";
import { createLook, decodeLook } from "./look.js";
import { lookTables } from "./look_tables.js";
import { BITSTREAM_ID, MODEL_ID } from "./model.js";
import { gridOf, perGrid, pictureOf } from "./pixels.js";

let tables;
const lookOf = perGrid((grid) => createLook(tables, grid));

/** @type {import("./index.js").firstLook} */
export function firstLook(stream) {
  const bytes = streamBytes(stream);
  const header = parseHeader(bytes);
  const { bitstreamId, alpha, length } = header;
  if (bitstreamId === null) return pictureOf(header, []); // too short to name its format
  checkFormat(bitstreamId, BITSTREAM_ID, MODEL_ID);
  tables ??= lookTables();
  const grid = gridOf(header);
  const { layers, axis } = decodeLook(tables, bytes, length, alpha ? 2 : 1, grid, lookOf(grid));
  const samples = layers.map((layer) => drawLatents(tables, layer, grid));
  rotateToAxis(samples[0], tables, axis);
  return pictureOf(header, samples);
}
