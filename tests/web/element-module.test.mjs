/** The element without a page: importing it, its types, the built modules, the worker. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import * as client from "../../service/thumbstream/web/client/index.js";
import * as element from "../../service/thumbstream/web/client/element.js";
import * as built from "../../service/thumbstream/web/client/element.min.js";

const CLIENT = new URL("../../service/thumbstream/web/client/", import.meta.url);
const USAGE = fileURLToPath(new URL("element-usage.ts", import.meta.url));
const NAMES = [...Object.keys(client), "ThumbStream", "decodeInBackground", "prefixes"].sort();
const STREAM = Uint8Array.of(0x7e, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10); // any bytes are a picture

const text = (name) => readFileSync(new URL(name, CLIENT), "utf8");

test("importing it in Node has no effect", () => {
  assert.deepEqual(Object.keys(element).sort(), NAMES);
  assert.deepEqual(Object.keys(built).sort(), NAMES);
  assert.equal(globalThis.customElements, undefined);
  assert.ok(element.ThumbStream.observedAttributes.includes("src"));
});

test("attributes are properties", () => {
  const declared = text("element.d.ts").match(/^ {2}get \w+/gm).map((line) => line.slice(6));
  assert.deepEqual(declared.sort(), [...element.ThumbStream.observedAttributes].sort());
  const attributes = text("element.d.ts").match(/^ {2}\w+\?:/gm).map((line) => line.slice(2, -2));
  assert.deepEqual(attributes.sort(), declared);
  const own = { getAttribute: (name) => (name === "alt" ? "A lake" : null), set: [] };
  own.setAttribute = (...pair) => own.set.push(pair);
  own.removeAttribute = (name) => own.set.push([name]);
  Object.setPrototypeOf(own, element.ThumbStream.prototype);
  assert.deepEqual([own.alt, own.src], ["A lake", ""]);
  own.bytes = 64;
  own.full = null;
  own.srcset = undefined;
  assert.deepEqual(own.set, [["bytes", 64], ["full"], ["srcset"]]);
});

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

for (const module of [element, built]) {
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
  const built = ["element.min.js", "worker.min.js", "thumbstream.min.js"];
  const lazy = ["fetch_many.min.js", "plain_kernels.min.js", "png.min.js", "decode_server.min.js"];
  const known = new Set([...built, ...lazy, "model_colors.generated.js", "client.bin"]);
  for (const name of [...built, ...lazy]) {
    const named = [...text(name).matchAll(/"\.\/([\w.]+)"/g)].map(([, file]) => file);
    assert.deepEqual(named.filter((file) => !known.has(file)), [], name);
  }
  assert.doesNotMatch(text("element.min.js"), /"(\.\/)?(worker|index|element)\.js"/); // the sources
  assert.match(text("element.min.js"), /new URL\("\.\/worker\.min\.js",import\.meta\.url\)/);
  assert.match(text("worker.min.js"), /from"\.\/element\.min\.js"/);
});

// For example TSC="npx --yes -p typescript@5.9.3 tsc".
const [program, ...rest] = (process.env.TSC ?? "tsc").split(" ");
const there = spawnSync(program, [...rest, "--version"]).status === 0;

test("the element type-checks", { skip: !there && "no compiler (TSC)" }, () => {
  const options = [
    "--noEmit", "--strict", "--noUncheckedIndexedAccess", "--target", "es2022",
    "--module", "nodenext", "--lib", "es2022,dom,dom.iterable",
  ];
  const { status, stdout } = spawnSync(program, [...rest, ...options, USAGE], { encoding: "utf8" });
  assert.equal(status, 0, stdout);
});
