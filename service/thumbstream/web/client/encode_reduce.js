/**
 * Reduces RGBA pixels to the grid, exactly as thumbstream.images does: blocks of pixels are averaged
 * down to a few times the size of the grid, then Lanczos. Transparency is premultiplied in between.
 *
 * This is integer arithmetic where Pillow's is, and float32 where NumPy's is, so that a stream does not
 * depend on the language that encoded it. images/grid.py, images/resize.py.
 */

const CHANNELS = 4;
const GAP = 4; // blocks per side of a grid pixel, at least
const MIN_SIDE = 64; // blocks per side of the picture, at least
const SIZE_STEP = 8;
const OPAQUE = 250; // least alpha that counts as opaque
const LOBES = 3;
const WEIGHT = 2 ** 22; // one, in the weights of 8-bit samples

const float = Math.fround;

/** The nearest integer, the even one of two. */
const roundToEven = (x) => {
  const down = Math.floor(x);
  return x - down === 0.5 ? down + (down & 1) : Math.round(x);
};

const clip = (x) => Math.min(Math.max(x, 0), 255);

/** Size of the grid of a picture; its long side is at most `size`. */
export function gridShape({ width, height }, size) {
  const longest = Math.max(width, height);
  const long = Math.min(size, Math.ceil(longest / SIZE_STEP) * SIZE_STEP);
  const short = Math.max(1, roundToEven((long * Math.min(width, height)) / longest));
  return width >= height ? { width: long, height: short } : { width: short, height: long };
}

/**
 * @param {{width: number, height: number, data: ArrayLike<number>}} picture RGBA, straight alpha
 * @param {{width: number, height: number}} grid
 * @returns {{width: number, height: number, data: Uint8Array, alpha: boolean}} RGBA; `alpha`: whether
 *   the picture has transparency
 */
export function reduceToGrid(picture, grid) {
  const { blocks, right, bottom } = averageBlocks(picture, grid);
  const alpha = !isOpaque(blocks.data);
  const exact = [windows(right, blocks.width, grid.width), windows(bottom, blocks.height, grid.height)];
  const data = alpha ? resizeTransparent(blocks, exact) : resizeOpaque(blocks, exact);
  return { ...grid, data, alpha: alpha && !isOpaque(data) };
}

function isOpaque(data) {
  for (let i = 3; i < data.length; i += CHANNELS) if (data[i] < OPAQUE) return false;
  return true;
}

/** Show a picture over white. @returns {{width: number, height: number, data: Uint8Array}} opaque RGBA */
export function compositeOverWhite({ width, height, data }) {
  const shown = Uint8Array.from(data, (sample, i) => {
    const alpha = data[i | 3];
    return i % CHANNELS < 3 ? divideBy255(sample * alpha + 255 * (255 - alpha)) : 255;
  });
  return { width, height, data: shown };
}

/** Means of blocks of pixels, and the part of them that the picture covers. */
function averageBlocks(picture, grid) {
  const { width, height } = picture;
  const stepX = Math.max(1, Math.floor(width / Math.max(GAP * grid.width, MIN_SIDE)));
  const stepY = Math.max(1, Math.floor(height / Math.max(GAP * grid.height, MIN_SIDE)));
  const right = float(width / stepX), bottom = float(height / stepY);
  if (stepX === 1 && stepY === 1) return { blocks: picture, right, bottom };
  const blocks = { width: Math.ceil(width / stepX), height: Math.ceil(height / stepY) };
  const data = new Uint8Array(CHANNELS * blocks.width * blocks.height);
  for (let i = 0; i < data.length; i += CHANNELS) {
    const left = stepX * ((i / CHANNELS) % blocks.width);
    const top = stepY * Math.floor(i / CHANNELS / blocks.width);
    const across = Math.min(stepX, width - left), down = Math.min(stepY, height - top);
    data.set(meanOf(picture, left, top, across, down), i);
  }
  return { blocks: { ...blocks, data }, right, bottom };
}

function meanOf({ width, data }, left, top, across, down) {
  const count = across * down;
  const sums = new Uint32Array(CHANNELS).fill(count >> 1);
  for (let y = top; y < top + down; y++) {
    for (let i = CHANNELS * (y * width + left), k = across; k--; i += CHANNELS) {
      const alpha = data[i + 3];
      for (let c = 0; c < 3; c++) sums[c] += divideBy255(data[i + c] * alpha);
      sums[3] += alpha;
    }
  }
  const inverse = Math.floor(float(2 ** 24 / count));
  const means = sums.map((sum) => Math.floor((sum * inverse) / 2 ** 24));
  const alpha = means[3];
  return alpha && alpha < 255
    ? means.map((mean, c) => (c < 3 ? Math.min(255, Math.floor((255 * mean) / alpha)) : alpha))
    : means;
}

function divideBy255(product) {
  const rounded = product + 128;
  return ((rounded >> 8) + rounded) >> 8;
}

function lanczos(x) {
  const sinc = (t) => (t === 0 ? 1 : Math.sin(t * Math.PI) / (t * Math.PI));
  return -LOBES <= x && x < LOBES ? sinc(x) * sinc(x / LOBES) : 0;
}

/** For each of `outputs` samples: the first of the `inputs` samples that it reads, and weights. */
function windows(covered, inputs, outputs) {
  const scale = covered / outputs, stretch = Math.max(scale, 1);
  const reach = LOBES * stretch;
  return Array.from({ length: outputs }, (_, i) => {
    const center = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - reach + 0.5));
    const last = Math.min(inputs, Math.trunc(center + reach + 0.5));
    const weights = Array.from({ length: last - first }, (_, k) =>
      lanczos((k + first - center + 0.5) * (1 / stretch)));
    const sum = weights.reduce((total, weight) => total + weight, 0);
    return { first, weights: weights.map((weight) => weight / sum) };
  });
}

/** Resize both directions; `round` makes a sample of each sum. */
function resize(image, windows, round) {
  const [across, down] = windows;
  const columns = (of) => resizeRows(of, across, round);
  const rows = (of) => transposed(resizeRows(transposed(of), down, round));
  // As Pillow: first the direction that it reduces by more samples, if this is by far more.
  const rowsFirst = image.height - down.length > 2 * Math.max(0, image.width - across.length);
  return (rowsFirst ? columns(rows(image)) : rows(columns(image))).data;
}

function resizeRows({ width, height, data }, windows, round) {
  const out = new Float64Array(CHANNELS * windows.length * height);
  for (let y = 0, to = 0; y < height; y++) {
    for (const { first, weights } of windows) {
      for (let c = 0; c < CHANNELS; c++) {
        let sum = 0, from = CHANNELS * (y * width + first) + c;
        for (const weight of weights) {
          sum += data[from] * weight;
          from += CHANNELS;
        }
        out[to++] = round(sum);
      }
    }
  }
  return { width: windows.length, height, data: out };
}

function transposed({ width, height, data }) {
  const out = new Float64Array(data.length);
  for (let i = 0; i < out.length; i++) {
    const pixel = Math.floor(i / CHANNELS);
    out[i] = data[CHANNELS * ((pixel % height) * width + Math.floor(pixel / height)) + (i % CHANNELS)];
  }
  return { width: height, height: width, data: out };
}

function resizeOpaque(image, exact) {
  const integers = exact.map((windows) => windows.map(({ first, weights }) => ({
    first, weights: weights.map((weight) => Math.trunc(weight * WEIGHT + (weight < 0 ? -0.5 : 0.5))),
  })));
  const round = (sum) => clip(Math.floor((sum + WEIGHT / 2) / WEIGHT));
  return Uint8Array.from(resize(image, integers, round), (sample, i) =>
    i % CHANNELS < 3 ? sample : 255);
}

function resizeTransparent({ data, ...size }, exact) {
  const light = Float32Array.from(data, (sample, i) =>
    i % CHANNELS < 3 ? sample * float(data[i | 3] / 255) : sample);
  const sums = resize({ ...size, data: light }, exact, float);
  return Uint8Array.from(sums, (sum, i) => {
    // Below half a level alpha rounds to 0. Nothing is clipped before the division.
    const opacity = float(Math.max(sums[i | 3], 0.5) / 255);
    return clip(roundToEven(i % CHANNELS < 3 ? float(sum / opacity) : sum));
  });
}
