/** The tables of the first look, from the text of the published model. */

import { fromText } from "./bytes.js";
import { cosines } from "./linear.js";
import { FACTORS, KLT, LOOK, ROTATION, TABLES } from "./model.js";

const SHIFT = 100; // added to each byte of TABLES
const SIDE = 8;
const CELL = SIDE * SIDE;
const NODES = 36;
const AXES = 32;
const AXIS_SHIFT = 101; // subtracted from their numbers, which are mostly large

/** @returns {object} as `decodeLook` and `drawLatents` take them */
export function lookTables() {
  const [first, look, ...counts] = LOOK;
  const numbers = new Int8Array(fromText(TABLES, SHIFT).buffer);
  let position = 0;
  const take = (count) => numbers.subarray(position, (position += count));
  return {
    first, look,
    rotation: ROTATION.map((thousandths) => thousandths / 1e3),
    ...readLook(take, first, counts),
    scales: FACTORS.map((millionths) => 1e6 / millionths),
    klt: fromCosines(KLT.split(",").map(Number)),
  };
}

/**
 * The arrays of look.npz; taps are stored column by column.
 *
 * @param {(count: number) => Int8Array} take returns the next numbers
 * @param {number} first channels
 * @param {number[]} counts of taps from magnitudes, and from values
 */
export function readLook(take, first, [count, valueCount]) {
  const rows = (count, width) => {
    const table = take(count * width);
    return Array.from({ length: count }, (_, i) =>
      Array.from({ length: width }, (_, k) => table[k * count + i]));
  };
  return {
    scale: take(NODES * first), slope: take(first), activity: take(first * first),
    taps: rows(count, 5), valueTaps: rows(valueCount, 6),
    axes: take(3 * AXES).map((x) => x + AXIS_SHIFT),
  };
}

/** Rows of the KLT from their coefficients of a two-dimensional DCT. */
function fromCosines(coefficients) {
  const basis = cosines(SIDE);
  const klt = new Float64Array(coefficients.length);
  coefficients.forEach((value, i) => {
    if (!value) return;
    const u = (i % CELL) >> 3, v = i % SIDE;
    let at = i - (i % CELL);
    for (let y = 0; y < SIDE; y++) {
      const row = value * basis[u * SIDE + y];
      for (let x = 0; x < SIDE; x++) klt[at++] += row * basis[v * SIDE + x];
    }
  });
  return klt;
}
