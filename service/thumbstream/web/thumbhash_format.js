/**
 * ThumbHash, written from its format: a picture as a few cosine coefficients.
 *
 * A hash is a five-byte header (two little-endian words of 24 and 16 bits), one byte more when the
 * picture has alpha, and then one nibble per coefficient, channel after channel, low nibble first.
 * Channels: luminance L = (r+g+b)/3, yellow-blue P = (r+g)/2 - b, red-green Q = r - g, and alpha.
 * Each channel keeps the low frequencies of a triangle, x / nx + y / ny < 1, without its mean.
 */

export const MAX_SIDE = 100; // pixels; the format's limit on what is hashed
const MEAN_SIDE = 32; // pixels; long side of a hash that is decoded without a wanted size

/** The (column, row) frequencies of one channel in stream order; the mean, (0, 0), comes first. */
function frequencies(nx, ny) {
  const list = [];
  for (let row = 0; row < ny; row++) {
    for (let column = 0; column * ny < nx * (ny - row); column++) list.push([column, row]);
  }
  return list;
}

/** cos(pi / n * k * (i + 1/2)) for every frequency k below `count`: arrays of n samples. */
function cosines(n, count) {
  return Array.from({ length: count }, (_, k) =>
    Float64Array.from({ length: n }, (_, i) => Math.cos((Math.PI / n) * k * (i + 0.5))),
  );
}

/** Mean, largest magnitude and coefficients (scaled to 0..1) of one channel. */
function analyse(channel, width, height, nx, ny) {
  const columns = cosines(width, nx);
  const rows = cosines(height, ny);
  const values = frequencies(nx, ny).map(([column, row]) => {
    let sum = 0;
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        sum += channel[y * width + x] * columns[column][x] * rows[row][y];
      }
    }
    return sum / (width * height);
  });
  const [mean, ...rest] = values;
  const scale = rest.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
  return { mean, scale, codes: rest.map((value) => (scale ? 0.5 + (0.5 / scale) * value : 0)) };
}

/** The four channels of a picture; transparent pixels lean towards the mean visible colour. */
function toChannels(rgba, count) {
  const mean = [0, 0, 0];
  let opacity = 0;
  for (let i = 0; i < count; i++) {
    const alpha = rgba[4 * i + 3] / 255;
    for (let c = 0; c < 3; c++) mean[c] += (alpha / 255) * rgba[4 * i + c];
    opacity += alpha;
  }
  if (opacity) for (let c = 0; c < 3; c++) mean[c] /= opacity;

  const [l, p, q, a] = Array.from({ length: 4 }, () => new Float64Array(count));
  for (let i = 0; i < count; i++) {
    const alpha = rgba[4 * i + 3] / 255;
    const [r, g, b] = mean.map((m, c) => m * (1 - alpha) + (alpha / 255) * rgba[4 * i + c]);
    l[i] = (r + g + b) / 3;
    p[i] = (r + g) / 2 - b;
    q[i] = r - g;
    a[i] = alpha;
  }
  return { l, p, q, a, hasAlpha: opacity < count };
}

/**
 * Hash a picture.
 * @param {number} width at most 100
 * @param {number} height at most 100
 * @param {ArrayLike<number>} rgba width * height * 4 samples, 0..255, alpha not premultiplied
 * @returns {Uint8Array} 5 to 25 bytes or so, by aspect ratio
 */
export function encode(width, height, rgba) {
  if (width > MAX_SIDE || height > MAX_SIDE) {
    throw new RangeError(`${width} x ${height} is larger than ${MAX_SIDE} x ${MAX_SIDE}`);
  }
  const { l, p, q, a, hasAlpha } = toChannels(rgba, width * height);
  const limit = hasAlpha ? 5 : 7;
  const side = Math.max(width, height);
  const lx = Math.max(1, Math.round((limit * width) / side));
  const ly = Math.max(1, Math.round((limit * height) / side));
  const L = analyse(l, width, height, Math.max(3, lx), Math.max(3, ly));
  const P = analyse(p, width, height, 3, 3);
  const Q = analyse(q, width, height, 3, 3);
  const A = hasAlpha ? analyse(a, width, height, 5, 5) : null;

  const isLandscape = width > height;
  const word24 =
    Math.round(63 * L.mean) |
    (Math.round(31.5 + 31.5 * P.mean) << 6) |
    (Math.round(31.5 + 31.5 * Q.mean) << 12) |
    (Math.round(31 * L.scale) << 18) |
    (Number(hasAlpha) << 23);
  const word16 =
    (isLandscape ? ly : lx) |
    (Math.round(63 * P.scale) << 3) |
    (Math.round(63 * Q.scale) << 9) |
    (Number(isLandscape) << 15);
  const header = [word24 & 255, (word24 >> 8) & 255, word24 >> 16, word16 & 255, word16 >> 8];
  if (A) header.push(Math.round(15 * A.mean) | (Math.round(15 * A.scale) << 4));

  const codes = [L, P, Q, ...(A ? [A] : [])].flatMap((channel) => channel.codes);
  const hash = new Uint8Array(header.length + Math.ceil(codes.length / 2));
  hash.set(header);
  codes.forEach((code, i) => {
    hash[header.length + (i >> 1)] |= Math.round(15 * code) << (4 * (i & 1));
  });
  return hash;
}

/** What the header of a hash says. */
function parse(hash) {
  const word24 = hash[0] | (hash[1] << 8) | (hash[2] << 16);
  const word16 = hash[3] | (hash[4] << 8);
  const hasAlpha = word24 >> 23 === 1;
  const isLandscape = word16 >> 15 === 1;
  const long = hasAlpha ? 5 : 7;
  return {
    hasAlpha,
    lx: isLandscape ? long : word16 & 7,
    ly: isLandscape ? word16 & 7 : long,
    l: { mean: (word24 & 63) / 63, scale: ((word24 >> 18) & 31) / 31 },
    // The decoder strengthens colour by a quarter: most coefficients were rounded towards zero.
    p: { mean: ((word24 >> 6) & 63) / 31.5 - 1, scale: (((word16 >> 3) & 63) / 63) * 1.25 },
    q: { mean: ((word24 >> 12) & 63) / 31.5 - 1, scale: (((word16 >> 9) & 63) / 63) * 1.25 },
    a: hasAlpha
      ? { mean: (hash[5] & 15) / 15, scale: (hash[5] >> 4) / 15 }
      : { mean: 1, scale: 0 },
  };
}

/** The size a hash would have at 32 pixels on its long side, from its approximate aspect ratio. */
export function approximateSize(hash) {
  const { lx, ly } = parse(hash);
  const ratio = lx / ly;
  return {
    width: Math.round(ratio > 1 ? MEAN_SIDE : MEAN_SIDE * ratio),
    height: Math.round(ratio > 1 ? MEAN_SIDE / ratio : MEAN_SIDE),
  };
}

/**
 * Draw a hash at any size (the cosines are continuous; a page that knows its layout knows the size).
 * @param {Uint8Array} hash
 * @param {{width: number, height: number}} [size] by default what the hash itself implies
 * @returns {{width: number, height: number, rgba: Uint8ClampedArray<ArrayBuffer>}}
 */
export function decode(hash, { width, height } = approximateSize(hash)) {
  const header = parse(hash);
  const lx = Math.max(3, header.lx);
  const ly = Math.max(3, header.ly);
  let nibble = 2 * (header.hasAlpha ? 6 : 5);

  function synthesise({ mean, scale }, nx, ny) {
    const columns = cosines(width, nx);
    const rows = cosines(height, ny);
    const channel = new Float64Array(width * height).fill(mean);
    for (const [column, row] of frequencies(nx, ny).slice(1)) {
      const code = (hash[nibble >> 1] >> (4 * (nibble & 1))) & 15;
      const value = 2 * (code / 7.5 - 1) * scale;
      nibble += 1;
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          channel[y * width + x] += value * columns[column][x] * rows[row][y];
        }
      }
    }
    return channel;
  }

  const l = synthesise(header.l, lx, ly);
  const p = synthesise(header.p, 3, 3);
  const q = synthesise(header.q, 3, 3);
  const a = header.hasAlpha ? synthesise(header.a, 5, 5) : null;
  const rgba = new Uint8ClampedArray(width * height * 4);
  for (let i = 0; i < width * height; i++) {
    const b = l[i] - (2 / 3) * p[i];
    const r = (3 * l[i] - b + q[i]) / 2;
    const samples = [r, r - q[i], b, a ? a[i] : 1];
    rgba.set(samples.map((sample) => Math.trunc(255 * sample)), 4 * i); // as other decoders round
  }
  return { width, height, rgba };
}
