/** Streams of models without weights for browsers: a service decodes them. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { deflateSync } from "node:zlib";

import "./file-fetch.mjs";
import * as modules from "../../service/thumbstream/web/client/index.js";
import * as bundle from "../../service/thumbstream/web/client/thumbstream.min.js";
import { png } from "../../service/thumbstream/web/client/png.js";
import { readPNG } from "../../service/thumbstream/web/client/png_reader.js";
import { shared } from "../../service/thumbstream/web/client/fetch_cache.js";
import { bytesOf, numbers, vectorsOf } from "./client-vectors.mjs";
import { serving } from "./fetch-server.mjs";

const OWN = bytesOf(vectorsOf("thumbstream-2").vectors[0].hex);
const FOREIGN = bytesOf(vectorsOf("conv-lstm-1").vectors[0].hex);
const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];

/** Random pixels, opaque without alpha. */
function picture(width, height, alpha) {
  const next = numbers(width + height);
  const data = Uint8ClampedArray.from({ length: 4 * width * height }, () => next() % 256);
  if (!alpha) for (let i = 3; i < data.length; i += 4) data[i] = 255;
  return { width, height, data };
}

/** A PNG file with the filter `y % 5` in row `y`, in two data chunks. */
function filtered({ width, height, data }, channels) {
  const at = (y, x, c) => (y < 0 || x < 0 ? 0 : data[4 * (y * width + x) + c]);
  const rows = [];
  for (let y = 0; y < height; y++) {
    rows.push(y % 5);
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < channels; c++) {
        const [a, b, o] = [at(y, x - 1, c), at(y - 1, x, c), at(y - 1, x - 1, c)];
        const p = a + b - o;
        const [pa, pb, po] = [a, b, o].map((near) => Math.abs(p - near));
        const paeth = pa <= pb && pa <= po ? a : pb <= po ? b : o;
        rows.push((at(y, x, c) - [0, a, b, (a + b) >> 1, paeth][y % 5]) & 255);
      }
    }
  }
  const chunk = (name, bytes) => {
    const head = Buffer.alloc(8);
    head.writeUInt32BE(bytes.length);
    head.write(name, 4);
    return Buffer.concat([head, Buffer.from(bytes), Buffer.alloc(4)]); // no checksum, it is not checked
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width);
  header.writeUInt32BE(height, 4);
  header.set([8, channels === 3 ? 2 : 6], 8);
  const packed = deflateSync(Uint8Array.from(rows));
  return new Uint8Array(Buffer.concat([
    Buffer.from(SIGNATURE), chunk("IHDR", header), chunk("tEXt", [1, 2, 3]),
    chunk("IDAT", packed.subarray(0, 5)), chunk("IDAT", packed.subarray(5)), chunk("IEND", []),
  ]));
}

const read = (file) => readPNG(new Response(file), shared);

test("reads PNG files exactly, with every filter, with and without alpha", async () => {
  for (const alpha of [false, true]) {
    for (const [width, height] of [[1, 1], [7, 11], [32, 21]]) {
      const expected = picture(width, height, alpha);
      assert.deepEqual(await read(filtered(expected, alpha ? 4 : 3)), expected);
      assert.deepEqual(await read(png(expected)), expected);
    }
  }
});

test("rejects other files and damaged files", async () => {
  const file = filtered(picture(8, 8, true), 4);
  for (const [place, value] of [[0, 0], [24, 16], [25, 3], [28, 1], [19, 9]]) {
    await assert.rejects(read(file.with(place, value)), Error, `${value} at ${place}`);
  }
  for (let n = 0; n < file.length - 16; n++) {
    await assert.rejects(read(file.subarray(0, n)), Error, `${n} bytes`);
  }
});

for (const client of [modules, bundle]) {
  const name = client === bundle ? "the built module" : "the module";

  test(`${name} returns the picture of the service`, async () => {
    const expected = picture(32, 24, false);
    const answer = (_, response) => response.end(png(expected));
    await serving(answer, async (at, requests) => {
      for (const decode of [client.decode, client.decodeInBackground]) {
        const { averageColor, ...rest } = await decode(FOREIGN.subarray(0, 9), { decoder: at("/decode") });
        assert.deepEqual(rest, { ...expected, aspectRatio: client.aspectRatio(FOREIGN) });
        assert.match(averageColor, /^#[0-9a-f]{6}$/);
      }
      const url = await client.toDataURL(FOREIGN, { decoder: new URL(at("/decode?bytes=5")) });
      assert.equal(url, `data:image/png;base64,${Buffer.from(png(expected)).toString("base64")}`);
      assert.deepEqual(requests.map(({ line }) => line), [
        "POST /decode?format=png", "POST /decode?format=png", "POST /decode?bytes=5&format=png",
      ]);
    });
  });

  test(`${name} does not send streams of the published model`, async () => {
    await serving((_, response) => response.end(), async (at, requests) => {
      const options = { decoder: at("/decode") };
      assert.deepEqual(await client.decode(OWN, options), await client.decode(OWN));
      assert.equal((await client.decode(Uint8Array.of(0xe7), options)).width, 64);
      assert.deepEqual(requests, []);
    });
  });

  test(`in ${name}, an error status or another file is a ResponseError`, async () => {
    const answer = ({ url }, response) => {
      if (url.startsWith("/busy")) response.statusCode = 429;
      if (!url.startsWith("/slow")) response.end("no picture");
    };
    await serving(answer, async (at) => {
      const request = (path, signal) => client.decode(FOREIGN, { decoder: at(path), signal });
      await assert.rejects(request("/busy"), { name: "ResponseError", status: 429 });
      await assert.rejects(request("/odd"), { name: "ResponseError", status: 200 });
      await assert.rejects(request("/slow", AbortSignal.abort()), { name: "AbortError" });
      const controller = new AbortController();
      const waiting = request("/slow", controller.signal);
      controller.abort();
      await assert.rejects(waiting, { name: "AbortError" });
    });
    for (const decode of [client.decode, client.decodeInBackground]) {
      await assert.rejects(decode(FOREIGN), { name: "BitstreamError", message: /set the option/ });
    }
  });
}
