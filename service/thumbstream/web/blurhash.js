/**
 * BlurHash, written from its format (https://blurha.sh): a picture as cosine coefficients of linear
 * light. A hash of n coefficients is a text of 4 + 2 n characters; the text itself is not needed here.
 */

import { ssim } from "./quality.js";

const MAX_COMPONENTS = 9; // in each direction
const LARGEST_QUANTUM = 166; // of the largest coefficient
const LEVELS = 9; // of a coefficient on either side of 0
const PAUSE_AFTER = 2; // hashes; then the page may do something else

const toLinear = (sample) => {
  const value = sample / 255;
  return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
};
const toSample = (light) => {
  const value = Math.min(1, Math.max(0, light));
  return Math.trunc((value <= 0.0031308 ? value * 12.92 : 1.055 * value ** (1 / 2.4) - 0.055) * 255 + 0.5);
};
const LINEAR = Float64Array.from({ length: 256 }, (_, sample) => toLinear(sample));
const signedPower = (value, exponent) => Math.sign(value) * Math.abs(value) ** exponent;

/** cos(pi k i / n) for every k below MAX_COMPONENTS: arrays of n samples. */
const cosines = (n) =>
  Array.from({ length: MAX_COMPONENTS }, (_, k) =>
    Float64Array.from({ length: n }, (_, i) => Math.cos((Math.PI * k * i) / n)),
  );

/** The coefficients [red, green, blue] of a picture, by row and column of the frequency. */
export function analyse({ width, height, data }) {
  const [columns, rows] = [cosines(width), cosines(height)];
  return rows.map((row, j) =>
    columns.map((column, i) => {
      const sums = [0, 0, 0];
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          const basis = column[x] * row[y];
          for (let c = 0; c < 3; c++) sums[c] += basis * LINEAR[data[4 * (y * width + x) + c]];
        }
      }
      const scale = (i || j ? 2 : 1) / (width * height);
      return sums.map((sum) => sum * scale);
    }),
  );
}

/** The first `across` x `down` coefficients as a hash stores them: [column, row, [r, g, b]] each. */
export function quantize(coefficients, across, down) {
  const list = [];
  for (let j = 0; j < down; j++) {
    for (let i = 0; i < across; i++) list.push([i, j, coefficients[j][i]]);
  }
  const [[, , mean], ...others] = list;
  const largest = Math.max(0, ...others.flatMap(([, , values]) => values.map(Math.abs)));
  const quantum = Math.max(0, Math.min(82, Math.floor(largest * LARGEST_QUANTUM - 0.5)));
  const scale = others.length ? (quantum + 1) / LARGEST_QUANTUM : 1;
  const rounded = (value) => {
    const level = Math.floor(signedPower(value / scale, 0.5) * LEVELS + LEVELS + 0.5);
    return signedPower((Math.min(2 * LEVELS, Math.max(0, level)) - LEVELS) / LEVELS, 2) * scale;
  };
  return [
    [0, 0, mean.map((value) => LINEAR[toSample(value)])],
    ...others.map(([i, j, values]) => [i, j, values.map(rounded)]),
  ];
}

/** @returns {Uint8ClampedArray<ArrayBuffer>} width * height * 4 samples */
export function decode(quantized, width, height) {
  const [columns, rows] = [cosines(width), cosines(height)];
  const samples = new Uint8ClampedArray(4 * width * height).fill(255);
  for (let y = 0; y < height; y++) {
    const line = new Float64Array(3 * MAX_COMPONENTS); // coefficients of this row
    for (const [i, j, values] of quantized) {
      for (let c = 0; c < 3; c++) line[3 * i + c] += values[c] * rows[j][y];
    }
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < 3; c++) {
        let light = 0;
        for (let i = 0; i < MAX_COMPONENTS; i++) light += line[3 * i + c] * columns[i][x];
        samples[4 * (y * width + x) + c] = toSample(light);
      }
    }
  }
  return samples;
}

/**
 * All hashes of a picture that are better than every shorter one, ascending by their characters.
 * @param {ImageData} picture
 */
export async function encodeAll(picture) {
  const { width, height } = picture;
  const coefficients = analyse(picture);
  const hashes = [];
  for (let across = 1; across <= MAX_COMPONENTS; across++) {
    for (let down = 1; down <= MAX_COMPONENTS; down++) {
      const data = decode(quantize(coefficients, across, down), width, height);
      const similarity = ssim(picture.data, data, width, height);
      const decoded = new ImageData(data, width, height);
      hashes.push({ bytes: 4 + 2 * across * down, similarity, read: async () => decoded });
      if (hashes.length % PAUSE_AFTER === 0) await new Promise((go) => setTimeout(go));
    }
  }
  hashes.sort((a, b) => a.bytes - b.bytes || b.similarity - a.similarity);
  let best = -Infinity;
  return hashes.filter(({ similarity }) => similarity > best && ((best = similarity), true));
}
