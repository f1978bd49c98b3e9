/** The tables of the published model that an encoder needs. */

import { fromText } from "./bytes.js";
import { TABLES } from "./encode_tables.generated.js";

const SHIFT = 80; // added to the bytes, which are mostly small integers, to make them letters

let tables;

/** @returns {object} numbers and arrays by name */
export function readTables() {
  if (!tables) {
    const read = ([name, value]) =>
      [name, typeof value === "string" ? new Int8Array(fromText(value, SHIFT).buffer) : value];
    tables = Object.fromEntries(Object.entries(TABLES).map(read));
    tables.klt = floatsOf(tables.klt);
  }
  return tables;
}

/** Floats of 32 bits from their bytes: all lowest ones first, then the others. */
function floatsOf(bytes) {
  const count = bytes.length / 4;
  return new Float32Array(Int8Array.from(bytes, (_, i) => bytes[(i % 4) * count + (i >> 2)]).buffer);
}
