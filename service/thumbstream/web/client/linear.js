/**
 * The linear transform of format 8, that encoder and decoder share: pixels to latents, and back.
 *
 * As lapped/linear.py: lapping over the edges of cells, a KLT of the samples of a cell, and, for the
 * channels of group 0, a DCT over the cells. docs/bitstream.md, "Decoding of format 8".
 */

const SIDE = 8; // pixels of a cell
const HALF = SIDE / 2;
const COLORS = 3;
const SAMPLES = COLORS * SIDE * SIDE;
const UNIT_PLANE = 32;
const TOWARDS_ZERO = 7 / 16; // place of a value in its interval

/** The step of a plane. */
export const stepOf = (plane) => 2 ** ((UNIT_PLANE - plane) / 4);

/** Rows of the orthonormal DCT of `count` samples. */
const cosines = (count) =>
  Float64Array.from({ length: count * count }, (_, at) => {
    const k = Math.floor(at / count), i = at % count;
    return Math.sqrt((k ? 2 : 1) / count) * Math.cos((Math.PI / (2 * count)) * k * (2 * i + 1));
  });

/** Calls `visit(sample, entry of a row of the KLT)` for the samples of a cell. */
function forEachSample(cell, { rows, columns }, visit) {
  const width = SIDE * columns, height = SIDE * rows;
  const top = SIDE * Math.floor(cell / columns), left = SIDE * (cell % columns);
  for (let k = 0; k < SAMPLES; k++) {
    const y = top + (Math.floor(k / SIDE) % SIDE), x = left + (k % SIDE);
    visit((Math.floor(k / SIDE / SIDE) * height + y) * width + x, k);
  }
}

/** Calls `run(start, stride, cells)` for the lines of samples along columns, then along rows. */
function alongColumns({ rows, columns }, run) {
  const width = SIDE * columns;
  for (let line = 0; line < COLORS * width; line++) {
    run(Math.floor(line / width) * width * SIDE * rows + (line % width), width, rows);
  }
}

function alongRows({ rows, columns }, run) {
  for (let line = 0; line < COLORS * SIDE * rows; line++) run(line * SIDE * columns, 1, columns);
}

/** Mix the samples around the edges between cells of one line; `turn(i, j)` is the rotation. */
const lapper = (samples, turn) => (start, stride, cells) => {
  for (let cell = 1; cell < cells; cell++) {
    const at = (i) => start + (SIDE * cell - HALF + i) * stride;
    const before = Array.from({ length: SIDE }, (_, i) => samples[at(i)]);
    for (let i = 0; i < HALF; i++) {
      let turned = 0;
      for (let j = 0; j < HALF; j++) turned += turn(i, j) * (before[HALF - 1 - j] - before[HALF + j]);
      const sum = before[HALF + i] + before[HALF - 1 - i];
      samples[at(HALF - 1 - i)] = (sum + turned) / 2;
      samples[at(HALF + i)] = (sum - turned) / 2;
    }
  }
};

/**
 * @param {object} tables of the model: `first` channels have a DCT; `klt`, `rotation` and `scales`
 * @param {{states: Int32Array, levels: Int32Array}} layer `[channel * cells + cell]`, of the first
 *   channels or of more
 * @param {{rows: number, columns: number}} grid of cells
 * @returns {Float64Array} samples about in [-1, 1]: 3 planes of 8 rows x 8 columns
 */
export function drawLatents({ first, klt, rotation, scales }, { states, levels }, grid) {
  const { rows, columns } = grid;
  const cells = rows * columns;
  const samples = new Float64Array(SAMPLES * cells);
  const [down, across] = [cosines(rows), cosines(columns)];
  const latents = new Float64Array(states.length);
  states.forEach((state, i) => {
    if (!state) return;
    const value = Math.sign(state) * (Math.abs(state) + TOWARDS_ZERO) * stepOf(levels[i]);
    const start = i - (i % cells);
    if (start >= first * cells) return (latents[i] = value);
    const u = Math.floor((i % cells) / columns), v = i % columns;
    for (let cell = 0; cell < cells; cell++) {
      latents[start + cell] += value * down[u * rows + Math.floor(cell / columns)] *
        across[v * columns + (cell % columns)];
    }
  });
  latents.forEach((value, i) => {
    if (!value) return;
    const c = Math.floor(i / cells);
    const latent = value / scales[c];
    forEachSample(i % cells, grid, (at, k) => (samples[at] += latent * klt[c * SAMPLES + k]));
  });
  const undo = lapper(samples, (i, j) => rotation[j * HALF + i]);
  alongColumns(grid, undo);
  alongRows(grid, undo);
  return samples;
}

/**
 * @param {object} tables as above
 * @param {Float64Array} samples as `drawLatents` returns; they are changed
 * @param {{rows: number, columns: number}} grid of cells
 * @returns {Float64Array} the scaled latents of all channels; those of the first are coefficients
 */
export function analyze({ first, klt, rotation, scales }, samples, grid) {
  const { rows, columns } = grid;
  const cells = rows * columns;
  const lap = lapper(samples, (i, j) => rotation[i * HALF + j]);
  alongColumns(grid, lap);
  alongRows(grid, lap);
  const latents = new Float64Array(scales.length * cells);
  for (let i = 0; i < latents.length; i++) {
    const c = Math.floor(i / cells);
    let sum = 0;
    forEachSample(i % cells, grid, (at, k) => (sum += samples[at] * klt[c * SAMPLES + k]));
    latents[i] = sum * scales[c];
  }
  const [down, across] = [cosines(rows), cosines(columns)];
  const before = latents.slice(0, first * cells);
  for (let i = 0; i < first * cells; i++) {
    const start = i - (i % cells), u = Math.floor((i % cells) / columns), v = i % columns;
    latents[i] = 0;
    for (let cell = 0; cell < cells; cell++) {
      latents[i] += before[start + cell] * down[u * rows + Math.floor(cell / columns)] *
        across[v * columns + (cell % columns)];
    }
  }
  return latents;
}
