/** Pictures, colors and PNG files from streams; wrong inputs; missing weights, WebAssembly, model. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { test } from "node:test";
import { inflateSync } from "node:zlib";

import {
  BitstreamError, WeightsError, aspectRatio, averageColor, decode, firstLook, load, toDataURL,
} from "../../service/thumbstream/web/client/index.js";
import { png } from "../../service/thumbstream/web/client/png.js";
import { MODEL_ID, WEIGHTS_INTEGRITY } from "../../service/thumbstream/web/client/model.generated.js";
import { bytesOf, vectorsOf } from "./client-vectors.mjs";

const { vectors, bitstream_id, model } = vectorsOf("thumbstream-2");
const streamOf = (name) => bytesOf(vectors.find((vector) => vector.name === name).hex);
const SQUARE = streamOf("probable, 32 x 32");
const CLEAR = streamOf("probable, 32 x 32 with alpha");
const WEIGHTS = readFileSync(
  new URL("../../service/thumbstream/web/client/client.bin", import.meta.url),
);

const channels = (color) => color.slice(1).match(/../g).map((digits) => parseInt(digits, 16));

test("every prefix of one byte or more is a picture", async () => {
  for (const stream of [SQUARE, CLEAR, streamOf("probable, 40 x 24")]) {
    for (const n of [1, 2, 3, 4, 9, 33, 64, 200, stream.length]) {
      const { width, height, aspectRatio, averageColor, data } = await decode(stream.subarray(0, n));
      assert.ok(data instanceof Uint8ClampedArray);
      assert.equal(data.length, 4 * width * height);
      assert.equal(aspectRatio, width / height);
      assert.match(averageColor, /^#([0-9a-f]{6}|[0-9a-f]{8})$/);
    }
  }
});

test("only streams with alpha have transparent pixels", async () => {
  const alphaOf = async (stream) =>
    (await decode(stream)).data.filter((_, i) => i % 4 === 3);
  assert.ok((await alphaOf(SQUARE)).every((alpha) => alpha === 255));
  assert.ok(new Set(await alphaOf(CLEAR)).size > 20);
});

test("a prefix without a bitstream id is gray", async () => {
  const { width, height, averageColor, data } = await decode(Uint8Array.of(0xe7));
  assert.deepEqual([width, height, averageColor], [64, 64, "#808080"]);
  assert.ok(data.every((value, i) => value === (i % 4 < 3 ? 128 : 255)));
});

test("rejects empty streams, reserved bytes and the models of the paper with a BitstreamError", async () => {
  for (const [bytes, message] of [
    [[], /expected a stream, got 0 bytes/],
    [[0x97, 1, 2], /got 3 bytes: 151,1,2/],
    [[0x1f, 1, 2, 3], /expected format 8 \(thumbstream-2\), got format 0: set the option `decoder`/],
    [[0xe7, 0x03, 0x3f, 1], /got format 3: set the option/],
    [[0xe7, 0x55, 0x3f, 1], /expected format 8 \(thumbstream-2\), got format 85$/],
  ]) {
    const stream = Uint8Array.from(bytes);
    await assert.rejects(decode(stream), { name: "BitstreamError", message });
    await assert.rejects(toDataURL(stream), BitstreamError);
    assert.throws(() => averageColor(stream), { name: "BitstreamError" });
  }
});

test("accepts base64, and copies the bytes when it is called", async () => {
  const base64 = Buffer.from(SQUARE).toString("base64");
  const picture = await decode(SQUARE);
  assert.deepEqual(await decode(base64), picture);
  assert.equal(averageColor(base64), averageColor(SQUARE));
  assert.equal(await toDataURL(base64), await toDataURL(SQUARE));
  const decoder = await load();
  assert.deepEqual(decoder.decode(base64), decoder.decode(SQUARE));
  assert.deepEqual(decoder.symbols(base64), decoder.symbols(SQUARE));
  for (const reuse of [decode, toDataURL]) {
    const buffer = SQUARE.slice();
    const result = reuse(buffer);
    buffer.fill(0);
    assert.deepEqual(await result, await reuse(SQUARE));
  }
});

test("rejects what is not a stream with a TypeError that says what it got", async () => {
  const decoder = await load();
  for (const [input, actual] of [
    [SQUARE.buffer, "ArrayBuffer"], [new Int8Array(SQUARE), "Int8Array"], [[...SQUARE], "object"],
    [new Uint8ClampedArray(SQUARE), "Uint8ClampedArray"], [undefined, "undefined"], [null, "object"],
    [new Blob([SQUARE]), "Blob"], ["<!doctype html>", "string"], ["7e0!", "string"],
    [new Response(SQUARE), "Response"],
  ]) {
    const error = {
      name: "TypeError", message: `expected a stream as Uint8Array or valid base64, got ${actual}`,
    };
    await assert.rejects(decode(input), error);
    await assert.rejects(toDataURL(input), error);
    for (const run of [averageColor, aspectRatio, decoder.decode, decoder.symbols]) {
      assert.throws(() => run(input), error);
    }
  }
});

test("WebAssembly and plain JavaScript decode the same", async () => {
  const [wasm, plain] = [await load(), await load({ wasm: false })];
  assert.deepEqual([wasm.modelId, wasm.bitstreamId], [model, bitstream_id]);
  for (const { name, hex } of vectors) {
    for (const n of [20, 64, Infinity]) {
      const stream = bytesOf(hex).subarray(0, n);
      const [one, other] = [wasm.decode(stream), plain.decode(stream)];
      const difference = one.data.reduce(
        (largest, value, i) => Math.max(largest, Math.abs(value - other.data[i])), 0,
      );
      assert.ok(difference <= 1, `${name}, ${n} bytes: ${difference}`);
    }
  }
});

test("plain JavaScript decodes if WebAssembly is blocked", async () => {
  const { Module } = WebAssembly;
  WebAssembly.Module = class {
    constructor() {
      throw new WebAssembly.CompileError("blocked by a content security policy");
    }
  };
  try {
    const decoder = await load();
    const [one, other] = [decoder, await load({ wasm: false })].map((d) => d.decode(SQUARE));
    assert.deepEqual(one, other);
  } finally {
    WebAssembly.Module = Module;
  }
});

test("the mean color is that of the pixels, and averageColor that of the first look", async () => {
  for (const { name, hex } of vectors.filter((vector) => vector.name.startsWith("probable"))) {
    const stream = bytesOf(hex);
    for (const { averageColor: mean, data } of [await decode(stream), firstLook(stream)]) {
      let weight = 0;
      const sums = [0, 0, 0];
      for (let i = 0; i < data.length; i += 4) {
        weight += data[i + 3];
        for (let c = 0; c < 3; c++) sums[c] += data[i + c] * data[i + 3];
      }
      assert.deepEqual(channels(mean).slice(0, 3), sums.map((sum) => Math.round(sum / weight)), name);
    }
    assert.equal(averageColor(stream), firstLook(stream).averageColor);
  }
});

test("the first look needs no weights, and every prefix has one", () => {
  for (const { hex } of vectors) {
    const stream = bytesOf(hex);
    for (const n of [1, 2, 3, 8, 24, stream.length]) {
      const { width, height, aspectRatio: ratio, data } = firstLook(stream.subarray(0, n));
      assert.equal(data.length, 4 * width * height);
      assert.equal(ratio, aspectRatio(stream.subarray(0, n)));
    }
  }
});

test("without the network, the complete first look is a blurred picture of the same", async () => {
  const difference = (a, b) => {
    const sum = a.data.reduce((total, value, i) => total + (value - b.data[i]) ** 2, 0);
    return Math.sqrt(sum / a.data.length);
  };
  const picture = await decode(SQUARE);
  const errors = [2, 8, 30].map((n) => difference(firstLook(SQUARE.subarray(0, n)), picture));
  assert.ok(errors[0] > errors[1] && errors[1] > errors[2], errors);
});

test("a decoder has no state between streams", async () => {
  const shapes = vectors.map(({ hex }) => bytesOf(hex).subarray(0, 40)).slice(0, 12);
  const used = await load({ bytes: WEIGHTS, integrity: "" });
  const forward = shapes.map((stream) => [used.decode(stream), averageColor(stream)]);
  const backward = [...shapes].reverse().map((stream) => [used.decode(stream), averageColor(stream)]);
  assert.deepEqual(backward.reverse(), forward);
  for (const [i, stream] of shapes.entries()) {
    const fresh = await load({ bytes: WEIGHTS, integrity: "" });
    assert.deepEqual(fresh.decode(stream), forward[i][0]);
  }
});

test("the first look does not change when the other groups begin", () => {
  const looks = [60, 120, SQUARE.length].map((n) => firstLook(SQUARE.subarray(0, n)));
  assert.deepEqual(looks[1], looks[0]);
  assert.deepEqual(looks[2], looks[0]);
});

test("a data URL is a PNG file of the same pixels", async () => {
  for (const [stream, samples] of [[SQUARE, 3], [CLEAR, 4], [streamOf("probable, 40 x 24"), 3]]) {
    const picture = await decode(stream);
    const file = Buffer.from((await toDataURL(stream)).split("base64,")[1], "base64");
    assert.deepEqual([...file.subarray(0, 8)], [137, 80, 78, 71, 13, 10, 26, 10]);
    const { width, height, data } = picture;
    assert.deepEqual(pixelsOf(file, samples), { width, height, data });
  }
});

test("a PNG file may be longer than one block", () => {
  const [width, height] = [200, 180];
  const data = Uint8ClampedArray.from({ length: 4 * width * height }, (_, i) => (i * 7) % 256);
  const { data: found } = pixelsOf(Buffer.from(png({ width, height, data })), 4);
  assert.deepEqual(found, data);
});

test("rejects weights that are not the published ones", async () => {
  const altered = Uint8Array.from(WEIGHTS);
  altered[altered.length >> 1] ^= 1;
  await assert.rejects(load({ bytes: altered }), WeightsError);
  await assert.rejects(load({ bytes: WEIGHTS.subarray(0, 100) }), WeightsError);
  await assert.rejects(load({ bytes: WEIGHTS, integrity: `${WEIGHTS_INTEGRITY.slice(0, -4)}AAA=` }), WeightsError);
  const other = Uint8Array.from(WEIGHTS);
  other[4] = 1;
  await assert.rejects(load({ bytes: other, integrity: "" }), /other bytes/);
  const decoder = await load({ bytes: WEIGHTS.buffer.slice(
    WEIGHTS.byteOffset, WEIGHTS.byteOffset + WEIGHTS.length) });
  assert.equal(decoder.modelId, MODEL_ID);
});

test("fetches the weights; an error status is a WeightsError", async () => {
  const server = createServer((request, response) => {
    response.writeHead(request.url === "/client.bin" ? 200 : 404, { Connection: "close" });
    response.end(request.url === "/client.bin" ? WEIGHTS : "");
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  try {
    const base = `http://127.0.0.1:${server.address().port}`;
    const decoder = await load({ url: `${base}/client.bin` });
    assert.deepEqual(decoder.decode(SQUARE), await decode(SQUARE));
    await assert.rejects(load({ url: new URL("/other.bin", base) }), /status 404/);
    await assert.rejects(load({ url: `${base}/client.bin`, signal: AbortSignal.abort() }), {
      name: "AbortError",
    });
  } finally {
    await new Promise((done) => server.close(done));
  }
});

test("without crypto.subtle the browser checks the weights", async () => {
  const altered = Uint8Array.from(WEIGHTS);
  altered[altered.length - 1] ^= 1;
  const server = createServer((request, response) => {
    response.writeHead(200, { Connection: "close" });
    response.end(request.url === "/client.bin" ? WEIGHTS : altered);
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const { crypto } = globalThis;
  Object.defineProperty(globalThis, "crypto", { value: {}, configurable: true });
  try {
    const base = `http://127.0.0.1:${server.address().port}`;
    assert.equal((await load({ url: `${base}/client.bin` })).modelId, MODEL_ID);
    await assert.rejects(load({ url: `${base}/altered.bin` }), TypeError);
    await assert.rejects(load({ bytes: WEIGHTS }), WeightsError);
    assert.equal((await load({ bytes: WEIGHTS, integrity: "" })).modelId, MODEL_ID);
  } finally {
    Object.defineProperty(globalThis, "crypto", { value: crypto, configurable: true });
    await new Promise((done) => server.close(done));
  }
});

/** Pixels of a PNG file as png.js writes it. */
function pixelsOf(file, samples) {
  const [width, height] = [file.readUInt32BE(16), file.readUInt32BE(20)];
  assert.equal(file[25], samples === 3 ? 2 : 6);
  const length = file.readUInt32BE(33);
  assert.equal(file.toString("latin1", 37, 41), "IDAT");
  const rows = inflateSync(file.subarray(41, 41 + length));
  assert.equal(rows.length, height * (1 + width * samples));
  const data = new Uint8ClampedArray(4 * width * height).fill(255);
  for (let y = 0, i = 0; y < height; y++) {
    assert.equal(rows[y * (1 + width * samples)], 0);
    for (let x = 0; x < width; x++, i += 4) {
      for (let c = 0; c < samples; c++) {
        data[i + c] = rows[y * (1 + width * samples) + 1 + x * samples + c];
      }
    }
  }
  return { width, height, data };
}
