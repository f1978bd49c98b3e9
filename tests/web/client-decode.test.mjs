/** Pictures, colours and files from streams; what happens without weights, WebAssembly or model. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { test } from "node:test";
import { inflateSync } from "node:zlib";

import {
  BitstreamError, WeightsError, averageColor, decode, load, toDataURL,
} from "../../service/thumbstream/web/client/index.js";
import { png } from "../../service/thumbstream/web/client/png.js";
import * as published from "../../service/thumbstream/web/client/published.js";
import { bytesOf, vectorsOf } from "./client-vectors.mjs";

const { vectors, bitstream_id, model } = vectorsOf("thumbstream-1");
const streamOf = (name) => bytesOf(vectors.find((vector) => vector.name === name).hex);
const SQUARE = streamOf("probable, 32 x 32");
const CLEAR = streamOf("probable, 32 x 32 with alpha");
const WEIGHTS = readFileSync(
  new URL("../../service/thumbstream/web/client/client.bin", import.meta.url),
);

const channels = (colour) => colour.slice(1).match(/../g).map((digits) => parseInt(digits, 16));

test("every prefix of one byte or more is a picture", async () => {
  for (const stream of [SQUARE, CLEAR, streamOf("probable, 24 x 40")]) {
    for (const n of [1, 2, 3, 4, 9, 33, 64, 200, stream.length]) {
      const { width, height, aspectRatio, averageColor, data } = await decode(stream.subarray(0, n));
      assert.ok(data instanceof Uint8ClampedArray);
      assert.equal(data.length, 4 * width * height);
      assert.equal(aspectRatio, width / height);
      assert.match(averageColor, /^#([0-9a-f]{6}|[0-9a-f]{8})$/);
    }
  }
});

test("opaque pictures are opaque, others are not", async () => {
  const alphaOf = async (stream) =>
    (await decode(stream)).data.filter((_, i) => i % 4 === 3);
  assert.ok((await alphaOf(SQUARE)).every((alpha) => alpha === 255));
  assert.ok(new Set(await alphaOf(CLEAR)).size > 20);
});

test("a picture of which no model is known yet is grey", async () => {
  const { width, height, averageColor, data } = await decode(CLEAR.subarray(0, 1));
  assert.deepEqual([width, height, averageColor], [32, 32, "#80808080"]);
  assert.ok(data.every((value) => value === 128));
  assert.equal((await decode(Uint8Array.of(0xe7))).averageColor, "#808080");
});

test("no bytes, reserved ones and the models of the paper are one class of error", async () => {
  for (const [bytes, message] of [
    [[], /empty/],
    [[0x97, 1, 2], /reserved/],
    [[0x1f, 1, 2, 3], /bitstream 0, whose networks only a service has; thumbstream-1 reads/],
    [[0xe7, 0x03, 0x3f, 1], /bitstream 3, whose networks only a service has/],
    [[0xe7, 0x55, 0x3f, 1], /bitstream 85; thumbstream-1 reads bitstream 7/],
  ]) {
    const stream = Uint8Array.from(bytes);
    await assert.rejects(decode(stream), { name: "BitstreamError", message });
    await assert.rejects(toDataURL(stream), BitstreamError);
    assert.throws(() => averageColor(stream), { name: "BitstreamError" });
  }
});

test("WebAssembly and plain JavaScript draw the same", async () => {
  const [wasm, plain] = [await load(), await load({ wasm: false })];
  assert.deepEqual([wasm.modelId, wasm.bitstreamId], [model, bitstream_id]);
  for (const { name, hex } of vectors) {
    for (const n of [20, 64, Infinity]) {
      const stream = bytesOf(hex).subarray(0, n);
      const [one, other] = [wasm.decode(stream), plain.decode(stream)];
      const difference = one.data.reduce(
        (most, value, i) => Math.max(most, Math.abs(value - other.data[i])), 0,
      );
      assert.ok(difference <= 1, `${name}, ${n} bytes: ${difference}`);
    }
  }
});

test("plain JavaScript is used where WebAssembly is refused", async () => {
  const { Module } = WebAssembly;
  WebAssembly.Module = class {
    constructor() {
      throw new WebAssembly.CompileError("refused by a content security policy");
    }
  };
  try {
    const refused = await load();
    const [one, other] = [refused, await load({ wasm: false })].map((d) => d.decode(SQUARE));
    assert.deepEqual(one, other);
  } finally {
    WebAssembly.Module = Module;
  }
});

test("the mean colour is that of the pixels, and told beforehand to some levels", async () => {
  const errors = [];
  for (const { name, hex } of vectors.filter((vector) => vector.name.startsWith("probable"))) {
    const stream = bytesOf(hex);
    const { averageColor: mean, data } = await decode(stream);
    const [red, green, blue] = channels(mean);
    let weight = 0;
    const sums = [0, 0, 0];
    for (let i = 0; i < data.length; i += 4) {
      weight += data[i + 3];
      for (let c = 0; c < 3; c++) sums[c] += data[i + c] * data[i + 3];
    }
    assert.deepEqual([red, green, blue], sums.map((sum) => Math.round(sum / weight)), name);
    const told = channels(averageColor(stream));
    assert.equal(told.length, mean.length === 9 ? 4 : 3);
    errors.push(...told.map((value, c) => Math.abs(value - channels(mean)[c])));
  }
  const mean = errors.reduce((sum, error) => sum + error, 0) / errors.length;
  assert.ok(mean < 13, `off by ${mean} levels on average`);
});

test("a decoder tells the same whatever it has decoded before", async () => {
  const shapes = vectors.map(({ hex }) => bytesOf(hex).subarray(0, 40)).slice(0, 12);
  const used = await load({ bytes: WEIGHTS, sha256: null });
  const there = shapes.map((stream) => [used.decode(stream), averageColor(stream)]);
  const back = [...shapes].reverse().map((stream) => [used.decode(stream), averageColor(stream)]);
  assert.deepEqual(back.reverse(), there);
  for (const [i, stream] of shapes.entries()) {
    const fresh = await load({ bytes: WEIGHTS, sha256: null });
    assert.deepEqual(fresh.decode(stream), there[i][0]);
  }
});

test("the colour stops changing when its digits are read", () => {
  const colours = Array.from(SQUARE, (_, i) => averageColor(SQUARE.subarray(0, i + 1)));
  assert.notEqual(colours[0], colours[40]);
  assert.ok(colours.slice(40).every((colour) => colour === colours[40]));
});

test("a data URL is a PNG file of the same pixels", async () => {
  for (const [stream, samples] of [[SQUARE, 3], [CLEAR, 4], [streamOf("probable, 24 x 40"), 3]]) {
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

test("weights that are not those that were published are refused", async () => {
  const altered = Uint8Array.from(WEIGHTS);
  altered[altered.length >> 1] ^= 1;
  await assert.rejects(load({ bytes: altered }), WeightsError);
  await assert.rejects(load({ bytes: WEIGHTS.subarray(0, 100) }), WeightsError);
  await assert.rejects(load({ bytes: WEIGHTS, sha256: "00" }), WeightsError);
  const other = Uint8Array.from(WEIGHTS);
  other[4] = 2;
  await assert.rejects(load({ bytes: other, sha256: null }), /format 1/);
  const decoder = await load({ bytes: WEIGHTS.buffer.slice(
    WEIGHTS.byteOffset, WEIGHTS.byteOffset + WEIGHTS.length) });
  assert.equal(decoder.modelId, published.MODEL);
});

test("weights are fetched, and what is no success is an error", async () => {
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

test("on a page without crypto.subtle the browser checks what it fetches", async () => {
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
    assert.equal((await load({ url: `${base}/client.bin` })).modelId, published.MODEL);
    await assert.rejects(load({ url: `${base}/altered.bin` }), TypeError);
    await assert.rejects(load({ bytes: WEIGHTS }), WeightsError);
    assert.equal((await load({ bytes: WEIGHTS, sha256: null })).modelId, published.MODEL);
  } finally {
    Object.defineProperty(globalThis, "crypto", { value: crypto, configurable: true });
    await new Promise((done) => server.close(done));
  }
});

/** Pixels of such a file as we write them, by another decompressor. */
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
