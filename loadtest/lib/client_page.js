/**
 * What bench_client.py measures inside a page. It is there before the page's own scripts.
 *
 * A contender is opened once, and then draws pictures: `open(where)` gives
 * `{prepare(bytes, decoder), draw(input)}`, of which `prepare` is what is not measured. All draw
 * `{width, height, data}`, at once or as a promise.
 */

globalThis.bench = (() => {
  const COLUMNS = 10;
  const SIDE = 60; // CSS pixels of a thumbnail: all of them are on the screen
  const shifts = [];
  const tasks = [];
  const watch = (type, take) =>
    new PerformanceObserver((list) => list.getEntries().forEach(take)).observe({ type, buffered: true });
  watch("layout-shift", ({ value }) => shifts.push(value));
  watch("longtask", ({ duration }) => tasks.push(duration));

  const thumbstream = (wasm) => async ({ client }) => {
    const { load } = await import(`${client}thumbstream.min.js`);
    const decoder = await load({ wasm });
    return { prepare: (stream) => stream, draw: (stream) => decoder.decode(stream) };
  };

  async function thumbhash({ peers }) {
    const { rgbaToThumbHash, thumbHashToRGBA } = await import(`${peers}thumbhash/thumbhash.js`);
    const draw = (hash) => {
      const { w, h, rgba } = thumbHashToRGBA(hash);
      return { width: w, height: h, data: new Uint8ClampedArray(rgba.buffer) };
    };
    const prepare = (stream, decoder) => {
      const { width, height, data } = decoder.decode(stream);
      return rgbaToThumbHash(width, height, data);
    };
    return { prepare, draw };
  }

  /** The published network only, which adds to the linear picture of a decoded stream. */
  async function onnxruntime({ peers, network }) {
    const dist = `${peers}onnxruntime-web/dist/`;
    const { InferenceSession, Tensor, env } = await import(`${dist}ort.wasm.bundle.min.mjs`);
    env.wasm.wasmPaths = dist;
    env.wasm.numThreads = 1; // more need a page that is isolated from other origins
    const session = await InferenceSession.create(network, { executionProviders: ["wasm"] });
    const prepare = (stream, decoder) => {
      const { latents: [{ states, levels }], grid } = decoder.symbols(stream);
      const shape = [1, states.length / (grid.rows * grid.columns), grid.rows, grid.columns];
      const steps = Float32Array.from(levels, (level) => 2 ** ((32 - level) / 4));
      return {
        latents: new Tensor("float32", steps.map((step, i) => step * states[i]), shape),
        widths: new Tensor("float32", steps.map((step) => Math.log(step) / 2), shape),
      };
    };
    const draw = async (input) => {
      const { added: { data: planes, dims: [, , height, width] } } = await session.run(input);
      const data = new Uint8ClampedArray(4 * height * width).fill(255);
      for (let i = 0; i < height * width; i++) {
        for (let c = 0; c < 3; c++) data[4 * i + c] = (planes[c * height * width + i] + 1) * 127.5;
      }
      return { width, height, data };
    };
    return { prepare, draw };
  }

  const open = {
    "thumbstream, WebAssembly": thumbstream(true),
    "thumbstream, JavaScript": thumbstream(false),
    ThumbHash: thumbhash,
    "onnxruntime-web": onnxruntime,
  };

  const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

  const median = (numbers) => [...numbers].sort((a, b) => a - b)[numbers.length >> 1];

  /** Behind the next frame. */
  const painted = () =>
    new Promise((go) => requestAnimationFrame(() => setTimeout(go)));

  const largestDifference = (a, b) =>
    a.data.reduce((most, value, i) => Math.max(most, Math.abs(value - b.data[i])), 0);

  function grid() {
    const box = document.createElement("div");
    Object.assign(box.style, { display: "grid", gap: "4px", width: `${COLUMNS * (SIDE + 4)}px`,
      gridTemplateColumns: `repeat(${COLUMNS}, ${SIDE}px)` });
    document.body.replaceChildren(box);
    return box;
  }

  /** Milliseconds until `fill` is through and what it did is seen; and of the longest task. */
  async function timed(fill) {
    await painted();
    tasks.length = 0;
    const start = performance.now();
    await fill();
    await painted();
    const page = performance.now() - start;
    await painted(); // long tasks are reported after the frame
    return { page, task: Math.max(0, ...tasks) };
  }

  /** A contender in a page of its own: ready, one picture after the other, all of them at once. */
  async function measure(name, where, texts, repeats) {
    const start = performance.now();
    const { prepare, draw } = await open[name](where);
    const ready = performance.now() - start;
    const { load } = await import(`${where.client}thumbstream.min.js`);
    const decoder = await load();
    const streams = texts.map(bytesOf);
    const inputs = streams.map((stream) => prepare(stream, decoder));
    const same = name.startsWith("thumbstream") // the others draw something else
      ? largestDifference(await draw(inputs[0]), decoder.decode(streams[0])) : null;
    const times = [];
    for (let turn = 0; turn < repeats; turn++) {
      for (const input of inputs) {
        const begun = performance.now();
        await draw(input);
        times.push(performance.now() - begun);
      }
    }
    const box = grid();
    const page = await timed(async () => {
      for (const input of inputs) {
        const { width, height, data } = await draw(input);
        const canvas = Object.assign(document.createElement("canvas"), { width, height });
        canvas.getContext("2d").putImageData(new ImageData(data, width, height), 0, 0);
        box.append(canvas);
      }
    });
    return { ready, decode: median(times), ...page, difference: same };
  }

  /** Images: `first` with a worker that has to start and to load, `page` with one that runs. */
  async function elements({ client }, texts) {
    const { sharpen } = await import(`${client}images.min.js`);
    const fill = async () => {
      const box = grid();
      for (const text of texts) {
        const image = document.createElement("img");
        Object.assign(image, { width: SIDE, height: SIDE, alt: "" });
        image.dataset.thumb = text;
        box.append(image);
      }
      await sharpen();
    };
    const first = await timed(fill);
    const again = await timed(fill);
    return { first: first.page, page: again.page, task: Math.max(first.task, again.task) };
  }

  return { measure, elements, shifts, tasks };
})();
