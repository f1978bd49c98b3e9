/**
 * The linear transform of format 8: latents to pixels. encode_transform.js has the inverse.
 *
 * As lapped/linear.py: lapping over the edges of cells, a KLT of the samples of a cell, and, for the
 * channels of group 0, a DCT over the cells. docs/bitstream.md, "Decoding of format 8".
 */

const SIDE = 8; // pixels of a cell
const HALF = SIDE / 2;
const COLORS = 3;
export const SAMPLES = COLORS * SIDE * SIDE;
const UNIT_PLANE = 32;
const TOWARDS_ZERO = 7 / 16; // place of a value in its interval

/** The step of a plane. */
export const stepOf = (plane) => 2 ** ((UNIT_PLANE - plane) / 4);

const tables = []; // of cosines, by count

/** Rows of the orthonormal DCT of `count` samples. */
export const cosines = (count) =>
  (tables[count] ??= Float64Array.from({ length: count * count }, (_, at) => {
    const k = Math.floor(at / count), i = at % count;
    return Math.sqrt((k ? 2 : 1) / count) * Math.cos((Math.PI / (2 * count)) * k * (2 * i + 1));
  }));

/** Mix the samples around the edges between cells, with the inverse rotation: its transpose. */
function lap(samples, rotation, { rows, columns }) {
  const width = SIDE * columns, height = SIDE * rows;
  const before = new Float64Array(SIDE);
  const mix = (start, stride, cells) => {
    for (let cell = 1; cell < cells; cell++) {
      const edge = start + (SIDE * cell - HALF) * stride;
      for (let i = 0; i < SIDE; i++) before[i] = samples[edge + i * stride];
      for (let i = 0; i < HALF; i++) {
        let turned = 0;
        for (let j = 0; j < HALF; j++) {
          turned += rotation[j * HALF + i] * (before[HALF - 1 - j] - before[HALF + j]);
        }
        const sum = before[HALF + i] + before[HALF - 1 - i];
        samples[edge + (HALF - 1 - i) * stride] = (sum + turned) / 2;
        samples[edge + (HALF + i) * stride] = (sum - turned) / 2;
      }
    }
  };
  for (let line = 0; line < COLORS * width; line++) {
    mix(Math.floor(line / width) * width * height + (line % width), width, rows);
  }
  for (let line = 0; line < COLORS * height; line++) mix(line * width, 1, columns);
}

/** Inverse DCT of lines of `count` values that are `stride` apart. */
function fromFrequencies(values, count, stride) {
  const table = cosines(count);
  return values.map((_, i) => {
    const k = Math.floor(i / stride) % count;
    let sum = 0;
    for (let j = 0; j < count; j++) sum += table[j * count + k] * values[i + (j - k) * stride];
    return sum;
  });
}

/**
 * @param {object} tables of the model: `first` channels have a DCT; `scales`
 * @param {{states: Int32Array, levels: Int32Array}} layer `[channel * cells + cell]`, of the first
 *   channels or of more
 * @param {{rows: number, columns: number}} grid of cells
 * @returns {Float64Array} the values of the latents of cells, without scales
 */
export function latentsOf({ first, scales }, { states, levels }, { rows, columns }) {
  const cells = rows * columns;
  const latents = new Float64Array(states.length);
  for (let i = 0; i < latents.length; i++) {
    const state = states[i], value = state + Math.sign(state) * TOWARDS_ZERO;
    if (state) latents[i] = (value * stepOf(levels[i])) / scales[Math.floor(i / cells)];
  }
  const coefficients = latents.subarray(0, first * cells);
  coefficients.set(fromFrequencies(fromFrequencies(coefficients, columns, 1), rows, columns));
  return latents;
}

/**
 * @param {object} tables of the model: `rotation`
 * @param {{rows: number, columns: number}} grid of cells
 * @param {(cell: number, k: number) => number} sample of a cell, by color, row and column
 * @returns {Float64Array} samples about in [-1, 1]: 3 planes of 8 rows x 8 columns
 */
export function joinCells({ rotation }, grid, sample) {
  const { rows, columns } = grid;
  const cells = rows * columns;
  const samples = new Float64Array(SAMPLES * cells);
  const width = SIDE * columns;
  for (let k = 0; k < SAMPLES; k++) {
    const first = ((k >> 6) * SIDE * rows + ((k >> 3) & 7)) * width + (k & 7);
    for (let cell = 0; cell < cells; cell++) {
      const column = cell % columns;
      samples[first + SIDE * ((cell - column) * SIDE + column)] = sample(cell, k);
    }
  }
  lap(samples, rotation, grid);
  return samples;
}

/** Samples, as `joinCells` returns them, of a layer of states, as `latentsOf` takes it. */
export function drawLatents(tables, layer, grid) {
  const { klt } = tables;
  const latents = latentsOf(tables, layer, grid);
  const cells = grid.rows * grid.columns;
  return joinCells(tables, grid, (cell, k) => {
    let sum = 0;
    for (let i = cell; i < latents.length; i += cells, k += SAMPLES) sum += latents[i] * klt[k];
    return sum;
  });
}
