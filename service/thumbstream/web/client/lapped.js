/**
 * All symbols of format 8: which latents each step refines, and their probabilities.
 *
 * Decoder and encoder walk the same steps. Integer arithmetic, the same as lapped/context.py and
 * lapped/stream_model.py: all sums stay below 2^24 and a shift is a product with a power of two, so
 * float32 and float64 hold every value exactly. docs/bitstream.md, "Format 8".
 */

import { decodeAxis } from "./colors.js";
import { Kernels } from "./kernels.js";
import {
  MAX_VALUE, SCALES, clip, codeStep, createLayer, createLook, inOrder, inSteps, lastPlane, magnitude,
  remainder, symbolOf,
} from "./look.js";
import { createMemory, planeSize } from "./memory.js";
import { createRangeDecoder } from "./range_coder.js";

const FEATURES = 4;
const VALUES = 2;
const MAX_PREDICTION = 127;
const UNLIMITED = -Infinity;

const range = (start, end) => Array.from({ length: end - start }, (_, i) => start + i);

/** Integer cosines of the inverse transform over cells: row `k`, sample `i`. */
const integerCosines = (count) =>
  Float64Array.from({ length: count * count }, (_, at) => {
    const k = Math.floor(at / count), i = at % count;
    const cosine = Math.cos((Math.PI / (2 * count)) * k * (2 * i + 1));
    return Math.floor(4096 * Math.sqrt((k ? 2 : 1) / count) * cosine + 0.5);
  });

/** Inverse DCT over the cells, of the values of one channel, as integers. */
function toCells(values, down, across, columns) {
  const rows = values.length / columns;
  const half = new Float64Array(values.length);
  values.forEach((value, i) => {
    const u = Math.floor(i / columns), v = i % columns;
    if (value) for (let r = 0; r < rows; r++) half[r * columns + v] += down[u * rows + r] * value;
  });
  for (let i = 0; i < values.length; i++) {
    let sum = 2 ** 23;
    for (let v = 0; v < columns; v++) sum += half[i - (i % columns) + v] * across[v * columns + (i % columns)];
    values[i] = Math.floor(sum / 2 ** 24);
  }
}

/**
 * The context model of all groups but 0, with its tables in the memory of the kernels.
 *
 * Within a group, channels are sorted by class, so that those of a step are consecutive. Features are
 * kept in planes of even and of odd cells. The sums of the first layer change with the features that a
 * step changes.
 *
 * @param {object} tables of the model: `groups`, `planes`, `look`, and all integer arrays
 * @param {object} memory what `createMemory` returns
 * @returns {(grid: {rows: number, columns: number}) => {start: Function, symbols: Function,
 *   update: Function}} creates the context of one picture. It allocates memory that its caller frees.
 */
export function createContextModel(tables, memory) {
  const { groups, w1, b1, b1Plane, m, bm, w2, w3, b2, b2Plane, own, predictor, shifts } = tables;
  const { kernels, allocate, storeFloats } = memory;
  const first = groups[0], hidden = b1Plane.length, second = m.length / hidden;
  const ends = groups.map((_, g) => groups.slice(0, g + 1).reduce((sum, size) => sum + size));
  const channels = ends.at(-1), coded = channels - first;
  const order = groups.flatMap((size, g) => range(ends[g] - size, ends[g])
    .sort((a, b) => (g ? remainder(a) - remainder(b) : 0)));
  /** Rows of a table with `count` rows for each channel: all first ones, then all second ones. */
  const sorted = (table, count, outs) => range(0, count).flatMap((f) =>
    order.flatMap((c) => outs.map((o) => table[(count * c + f) * outs.length + o])));
  const ours = order.slice(first).map((c) => c - first);
  const units = (table, count) => range(0, count).flatMap((u) =>
    [0, 1].flatMap((head) => ours.map((c) => table[(head * coded + c) * count + u])));
  const [firstLayer, middle, heads, lines] = [
    sorted(w1, FEATURES, range(0, hidden)), m, [...units(w2, hidden), ...units(w3, second)],
    sorted(predictor, VALUES, ours),
  ].map(storeFloats);
  const middleBias = storeFloats(bm);
  /** By group and class: the first position of its channels, and their number. */
  const positions = groups.map((size, g) => range(0, 4).map((class_) => {
    const found = range(ends[g] - size, ends[g]).filter((k) => remainder(order[k]) === class_);
    return { from: found[0], count: found.length };
  }));
  const zeros = allocate(Math.max(hidden, second, coded));
  const bias = allocate(Math.max(hidden, coded));

  return ({ rows, columns }) => {
    const cells = rows * columns;
    const x = new Int32Array(channels * cells), sizes = new Int32Array(cells);
    const used = new Uint8Array(channels); // whether a channel has a feature that is not 0
    const halves = [0, 1].map((parity) => {
      const places = range(0, cells).filter(
        (i) => (Math.floor(i / columns) + (i % columns)) % 2 === parity);
      const n = planeSize(places.length);
      return {
        places, n, features: allocate(FEATURES * channels * n), values: allocate(VALUES * channels * n),
        changes: allocate(channels * n), sums: allocate(hidden * n), units: allocate((hidden + second) * n),
        scales: allocate(coded * n), means: allocate(coded * n), lines: allocate(coded * n),
      };
    });
    const neighbors = range(0, cells).map((i) => [
      ...(i >= columns ? [i - columns] : []), ...(i + columns < cells ? [i + columns] : []),
      ...(i % columns ? [i - 1] : []), ...((i + 1) % columns ? [i + 1] : []),
    ]);

    /** Compute features and values of the channels at some positions, of all cells. */
    const setFeatures = (from, to) => {
      const { f } = kernels;
      for (let k = from; k < to; k++) {
        const at = k * cells;
        let any = 0;
        for (let i = 0; i < cells; i++) {
          any |= x[at + i];
          sizes[i] = magnitude(x[at + i]);
        }
        if (!any && !used[k]) continue;
        used[k] = any ? 1 : 0;
        for (const { places, n, features, values } of halves) {
          const feature = features + k * n, value = values + k * n, next = channels * n;
          for (let p = 0; p < places.length; p++) {
            const i = places[p], z = x[at + i];
            let size = 0, sign = 0, sum = 0;
            for (const j of neighbors[i]) {
              const y = x[at + j];
              size += sizes[j];
              sign += y < 0 ? -sizes[j] : sizes[j];
              sum += clip(y, -MAX_VALUE, MAX_VALUE);
            }
            f[feature + p] = sizes[i];
            f[feature + p + next] = z < 0 ? -sizes[i] : sizes[i];
            f[feature + p + 2 * next] = size;
            f[feature + p + 3 * next] = sign;
            f[value + p] = clip(z, -MAX_VALUE, MAX_VALUE);
            f[value + p + next] = sum;
          }
        }
      }
    };

    const convolve = (out, from, w, outs, count, n, accumulate) =>
      kernels.conv(out, from, w, outs, zeros, outs, count, n, accumulate, UNLIMITED);
    const lastUsed = () => used.lastIndexOf(1) + 1;

    /** Set the latents in steps of a plane, `[channel * cells + cell]`, before its first step. */
    const start = (values) => {
      order.forEach((c, k) => x.set(values.subarray(c * cells, (c + 1) * cells), k * cells));
      setFeatures(0, channels);
      const count = lastUsed();
      for (const { features, sums, n } of halves) {
        kernels.f.fill(0, sums, sums + hidden * n);
        for (let f = 0; count && f < FEATURES; f++) {
          convolve(sums, features + f * channels * n, firstLayer + f * channels * hidden, hidden, count, n, 1);
        }
      }
    };

    /** The symbols of a step in coding order, given the states before it. */
    const symbols = (states, plane, group, parity) => {
      const { from, count } = positions[group][remainder(plane)];
      const { places, n, features, values, sums, units, scales, means, lines: line } = halves[parity];
      const { f } = kernels;
      const row = ((remainder(plane) * (groups.length - 1) + group - 1) * 2 + parity) * hidden;
      for (let j = 0; j < hidden; j++) f[bias + j] = b1[row + j] + plane * b1Plane[j];
      kernels.activate(units, sums, bias, hidden, n, 2 ** -shifts[0]);
      const deeper = units + hidden * n;
      kernels.conv(deeper, units, middle, second, middleBias + (group - 1) * second, second, hidden, n, 0, UNLIMITED);
      kernels.activate(deeper, deeper, zeros, second, n, 2 ** -shifts[1]);
      for (const [head, out] of [scales, means].entries()) {
        for (let k = 0; k < count; k++) {
          const c = order[from + k] - first;
          f[bias + k] = b2[(parity * 2 + head) * coded + c] + plane * b2Plane[head * coded + c];
        }
        kernels.conv(out, units, heads + head * coded + from - first, 2 * coded, bias, count,
          hidden + second, n, 0, UNLIMITED);
      }
      const inputs = lastUsed();
      for (const v of [0, 1]) {
        kernels.conv(line, values + v * channels * n, lines + v * channels * coded + from - first, coded,
          zeros, count, inputs, n, v, UNLIMITED);
      }
      const found = [];
      for (let k = 0; k < count; k++) {
        const channel = order[from + k], c = channel - first;
        if (tables.starts[c] > plane) continue;
        const feature = features + (from + k) * n;
        for (let p = 0; p < places.length; p++) {
          const linear = clip(Math.floor(f[line + k * n + p] / 64), -MAX_VALUE, MAX_VALUE);
          const sum = f[scales + k * n + p] + own[c] * f[feature + p] +
            own[coded + c] * f[feature + 2 * channels * n + p] +
            own[2 * coded + c] * Math.min(Math.abs(linear), MAX_PREDICTION);
          const latent = channel * cells + places[p];
          found.push(symbolOf(latent, states[latent], clip(sum >> shifts[2], 0, SCALES - 1),
            linear + (f[means + k * n + p] >> shifts[3])));
        }
      }
      return inOrder(found);
    };

    /** Read the states after a step. */
    const update = (states, plane, group, parity) => {
      const { from, count } = positions[group][remainder(plane)];
      let changed = false;
      for (let k = from; k < from + count; k++) {
        for (const i of halves[parity].places) {
          const value = inSteps(states[order[k] * cells + i], 0);
          changed ||= value !== x[k * cells + i];
          x[k * cells + i] = value;
        }
      }
      if (!changed) return;
      // Of cells of this parity the own features change, of the others the sums over neighbors.
      const changes = halves.flatMap((half, p) => (p === parity ? [0, 1] : [2, 3]).map((f) => [half, f]));
      const add = (factor) => {
        for (const [{ n, features, changes: difference, sums }, feature] of changes) {
          const start = features + (feature * channels + from) * n;
          for (let i = 0; i < count * n; i++) kernels.f[difference + i] = factor * kernels.f[start + i];
          convolve(sums, difference, firstLayer + (feature * channels + from) * hidden, hidden, count, n, 1);
        }
      };
      add(-1);
      setFeatures(from, from + count);
      add(1);
    };
    return { start, symbols, update };
  };
}

/**
 * @param {object} tables of the model, as above
 * @param {{rows: number, columns: number}} grid of cells
 * @param {Function} [createContext] what `createContextModel` returns for these tables
 * @returns {{classes: Uint8Array, starts: Int32Array, steps: (layers: Int32Array[]) =>
 *   Generator<{plane: number, group: number, layer: number, symbols: object[]}>}} classes and starts of
 *   the latents `[channel * cells + cell]`, and the steps of a picture, with symbols in coding order.
 *   The caller refines the states of a step before it takes the next one.
 */
export function createSteps(
  tables, grid, createContext = createContextModel(tables, createMemory(new Kernels())),
) {
  const { groups, planes } = tables;
  const { rows, columns } = grid;
  const cells = rows * columns;
  const first = groups[0], channels = first + tables.starts.length;
  const look = createLook({ ...tables, first }, grid);
  const every = new Uint8Array(channels * cells);
  const classes = every.map((_, i) => look.classes[i] ?? remainder(Math.floor(i / cells)));
  const starts = new Int32Array(every.length).map(
    (_, i) => look.starts[i] ?? tables.starts[Math.floor(i / cells) - first]);
  const [down, across] = [integerCosines(rows), integerCosines(columns)];

  /** All latents in steps of a plane, before its first step of a later group. */
  const valuesBefore = (states, plane) => {
    const x = new Int32Array(states.length);
    const looked = Math.max(plane, tables.look - 1);
    for (let i = 0; i < x.length; i++) {
      if (!states[i]) continue;
      const reached = i < first * cells ? looked : plane - 1;
      x[i] = inSteps(states[i], plane - lastPlane(reached, classes[i]));
    }
    for (let c = 0; c < first; c++) toCells(x.subarray(c * cells, (c + 1) * cells), down, across, columns);
    return x;
  };

  function* lookSteps(layers, plane) {
    const steps = layers.map((states) => look.symbols(states, plane));
    for (const [layer, symbols] of steps.entries()) yield { plane, group: 0, layer, symbols };
  }

  /** By group and class: the first plane with latents. */
  const begins = groups.map((size, group) => {
    const end = groups.slice(0, group + 1).reduce((sum, size) => sum + size);
    return range(0, 4).map((class_) => Math.min(...range(end - size, end).map((c) =>
      (remainder(c) === class_ ? tables.starts[c - first] : Infinity))));
  });

  const laterGroups = range(1, groups.length);

  function* steps(layers) {
    for (let plane = 0; plane < tables.look; plane++) yield* lookSteps(layers, plane);
    const contexts = layers.map(() => createContext(grid));
    for (let plane = 0; plane < planes; plane++) {
      if (plane >= tables.look) yield* lookSteps(layers, plane);
      const coded = laterGroups.filter((group) => begins[group][remainder(plane)] <= plane);
      if (!coded.length) continue;
      layers.forEach((states, layer) => contexts[layer].start(valuesBefore(states, plane)));
      for (const group of coded) {
        for (const parity of cells > 1 ? [0, 1] : [0]) {
          const found = layers.map((states, layer) => contexts[layer].symbols(states, plane, group, parity));
          for (const [layer, symbols] of found.entries()) yield { plane, group, layer, symbols };
          layers.forEach((states, layer) => contexts[layer].update(states, plane, group, parity));
        }
      }
    }
  }
  return { classes, starts, steps };
}

/**
 * As `decodeLook`, but all groups; states and levels are `[channel * cells + cell]`, and latents
 * without symbols have the level of their class. Also `planes`, how many planes are complete, and the
 * `classes` of the latents.
 */
export function decodeLatents(
  tables, stream, position, layers, grid, { classes, steps } = createSteps(tables, grid),
) {
  const decode = createRangeDecoder(stream, position);
  const axis = decodeAxis(decode);
  const found = Array.from({ length: layers }, () => createLayer(classes.length));
  let decodedCount = 0;
  let planes = tables.planes, looked = planes; // complete ones of the other groups, of the first
  for (const { plane, group, layer, symbols } of steps(found.map(({ states }) => states))) {
    const known = codeStep(symbols, found[layer], plane, group, decode);
    decodedCount += known;
    if (known < symbols.length) {
      planes = group || plane >= tables.look ? plane : 0;
      looked = planes ? Math.max(planes, tables.look) : plane;
      break;
    }
  }
  const size = tables.groups[0] * grid.rows * grid.columns;
  for (const { levels } of found) {
    levels.forEach((level, i) => {
      if (level < 0) levels[i] = lastPlane((i < size ? looked : planes) - 1, classes[i]);
    });
  }
  return { layers: found, decodedCount, axis, planes, classes };
}
