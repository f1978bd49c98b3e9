/**
 * Draws the first look: coefficients of group 0 to pixels, by the linear transform alone.
 *
 * docs/bitstream.md, "Decoding of format 8".
 */

const SIDE = 8; // pixels of a cell
const HALF = SIDE / 2;
const COLORS = 3;
const UNIT_PLANE = 32;
const TOWARDS_ZERO = 7 / 16; // place of a value in its interval

/** Row `k` of the orthonormal inverse DCT of `count` samples, at sample `i`. */
const cosine = (count, k, i) =>
  Math.sqrt((k ? 2 : 1) / count) * Math.cos((Math.PI / (2 * count)) * k * (2 * i + 1));

/**
 * @param {object} tables of the model: `first`, and arrays of linear.npz
 * @param {{states: Int32Array, levels: Int32Array}} layer what `decodeLook` returns
 * @param {{rows: number, columns: number}} grid of cells
 * @returns {Float64Array} samples about in [-1, 1]: 3 planes of 8 rows x 8 columns
 */
export function drawLook({ first, klt, rotation, scales }, { states, levels }, { rows, columns }) {
  const cells = rows * columns, width = SIDE * columns, height = SIDE * rows;
  const samples = new Float64Array(COLORS * width * height);
  const down = table(rows), across = table(columns);
  for (let i = 0; i < states.length; i++) {
    if (!states[i]) continue;
    const c = Math.floor(i / cells), u = Math.floor((i % cells) / columns), v = i % columns;
    const step = 2 ** ((UNIT_PLANE - levels[i]) / 4);
    const value = Math.sign(states[i]) * (Math.abs(states[i]) + TOWARDS_ZERO) * step;
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const latent = (value * down[u * rows + row] * across[v * columns + column]) / scales[c];
        for (let k = 0; k < COLORS * SIDE * SIDE; k++) {
          const plane = Math.floor(k / (SIDE * SIDE));
          const y = SIDE * row + (Math.floor(k / SIDE) % SIDE), x = SIDE * column + (k % SIDE);
          samples[(plane * height + y) * width + x] += latent * klt[c * COLORS * SIDE * SIDE + k];
        }
      }
    }
  }
  for (let line = 0; line < COLORS * width; line++) {
    const start = Math.floor(line / width) * width * height + (line % width);
    unlap(samples, start, width, rows, rotation);
  }
  for (let line = 0; line < COLORS * height; line++) {
    unlap(samples, line * width, 1, columns, rotation);
  }
  return samples;
}

const table = (count) =>
  Float64Array.from({ length: count * count }, (_, i) =>
    cosine(count, Math.floor(i / count), i % count));

/** Undo the lapping over the edges between the cells of one line of samples. */
function unlap(samples, start, stride, cells, rotation) {
  for (let cell = 1; cell < cells; cell++) {
    const at = (i) => start + (SIDE * cell - HALF + i) * stride; // 8 samples around the edge
    const before = Array.from({ length: SIDE }, (_, i) => samples[at(i)]);
    for (let i = 0; i < HALF; i++) {
      let turned = 0; // of the transposed rotation
      for (let j = 0; j < HALF; j++) {
        turned += rotation[j * HALF + i] * (before[HALF - 1 - j] - before[HALF + j]);
      }
      const sum = before[HALF + i] + before[HALF - 1 - i];
      samples[at(HALF - 1 - i)] = (sum + turned) / 2;
      samples[at(HALF + i)] = (sum - turned) / 2;
    }
  }
}
