/** Decoding in the background without a page, the built modules, and the worker. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import "./file-fetch.mjs";
import * as client from "../../service/thumbstream/web/client/index.js";
import * as built from "../../service/thumbstream/web/client/thumbstream.min.js";

const CLIENT = new URL("../../service/thumbstream/web/client/", import.meta.url);
const STREAM = Uint8Array.of(0x7e, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10); // any bytes are a picture

const text = (name) => readFileSync(new URL(name, CLIENT), "utf8");

for (const name of ["images.js", "images.min.js"]) {
  test(`importing ${name} in Node has no effect`, async () => {
    const module = await import(new URL(name, CLIENT));
    assert.deepEqual(Object.keys(module).sort(), ["hasPreview", "sharpen", "watch"]);
  });
}

for (const name of ["worker.js", "worker.min.js"]) {
  test(`${name} answers requests one after the other, and failed ones with undefined`, async () => {
    const order = [];
    const observed = STREAM.slice();
    Object.defineProperty(observed, Symbol.toStringTag, {
      get: () => (order.push("read"), "Uint8Array"),
    });
    const answers = await new Promise((done) => {
      const received = [];
      globalThis.onmessage = null;
      globalThis.postMessage = (answer) => {
        order.push(answer[0]);
        if (received.push(answer) === 3) done(received);
      };
      import(new URL(name, CLIENT)).then(() => {
        const requests = [[1, STREAM], [2, Uint8Array.of(0, 1)], [3, observed]];
        for (const data of requests) globalThis.onmessage({ data });
      });
    });
    assert.deepEqual(order.filter((what, i) => what !== order[i - 1]), [1, 2, "read", 3]);
    const picture = await client.decode(STREAM);
    assert.deepEqual(answers, [[1, picture], [2, undefined], [3, picture]]);
    delete globalThis.onmessage;
    delete globalThis.postMessage;
  });
}

for (const module of [client, built]) {
  const name = module === built ? "the built module" : "the module";
  test(`without workers, ${name} decodes on this thread, one after the other`, async () => {
    const streams = Array.from({ length: 5 }, (_, i) => STREAM.subarray(0, 3 + i));
    const order = [];
    const pictures = await Promise.all(
      streams.map((stream, i) =>
        module.decodeInBackground(stream).then((picture) => (order.push(i), picture)),
      ),
    );
    assert.deepEqual(order, [0, 1, 2, 3, 4]);
    assert.deepEqual(pictures, await Promise.all(streams.map(client.decode)));
  });

  test(`in ${name}, the error of one stream does not affect another`, async () => {
    const broken = module.decodeInBackground(Uint8Array.of(0, 1));
    const valid = module.decodeInBackground(STREAM);
    await assert.rejects(broken, { name: "BitstreamError" });
    await assert.rejects(module.decodeInBackground(STREAM.buffer), TypeError);
    assert.equal((await valid).data.length, 4 * (await valid).width * (await valid).height);
  });
}

test("built modules import built modules only", () => {
  const built = ["images.min.js", "worker.min.js", "thumbstream.min.js"];
  const lazy = ["fetch_many.min.js", "plain_kernels.min.js", "png.min.js", "decode_server.min.js"];
  const known = new Set([...built, ...lazy, "client.bin"]);
  for (const name of [...built, ...lazy]) {
    const named = [...text(name).matchAll(/"\.\/([\w.]+)"/g)].map(([, file]) => file);
    assert.deepEqual(named.filter((file) => !known.has(file)), [], name);
  }
  assert.match(text("images.min.js"), /import\("\.\/thumbstream\.min\.js"\)/);
  assert.match(text("thumbstream.min.js"), /new URL\("\.\/worker\.min\.js",import\.meta\.url\)/);
  assert.match(text("worker.min.js"), /from"\.\/thumbstream\.min\.js"/);
});
