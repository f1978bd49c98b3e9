/** The encoder with the analysis network, in the installed package: better pictures than without. */

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { install, run, temporary } from "./project.mjs";

const path = (name) => fileURLToPath(new URL(`../../${name}`, import.meta.url));
const SAMPLES = path("service/thumbstream/web/samples/");
const ANALYSIS = path("models/zoo/thumbstream-2/analysis.onnx");

describe("with sharp and onnxruntime-node", () => {
  const folder = temporary();
  before(() => install(folder, ["sharp@0.35.5", "onnxruntime-node@1.30.0"], []));

  test("pictures of complete streams are nearer to the originals", () => {
    writeFileSync(join(folder, "compare.js"), `
      import sharp from "sharp";
      import { decode } from "thumbstream";
      import { encode } from "thumbstream/encode";
      import { loadEncoder } from "thumbstream/encode-network";
      const encoder = await loadEncoder(${JSON.stringify(ANALYSIS)});
      const errors = [0, 0];
      for (const name of ["astronaut", "cat", "coffee", "rocket"]) {
        const { data, info } = await sharp(\`${SAMPLES}\${name}.jpg\`).resize(32).ensureAlpha().raw()
          .toBuffer({ resolveWithObject: true });
        const streams = [encode({ ...info, data }), await encoder({ ...info, data })];
        for (const [i, stream] of streams.entries()) {
          (await decode(stream)).data.forEach((z, k) => (errors[i] += (z - data[k]) ** 2));
        }
      }
      console.log(errors[1] / errors[0]);`);
    const ratio = Number(run("node", ["compare.js"], folder));
    assert.ok(ratio < 0.98, String(ratio));
  });

  test("the command takes the network", () => {
    const words = ["--no-install", "thumbstream", "encode", `${SAMPLES}cat.jpg`, "--bytes", "200"];
    const streams = [words, [...words, "--network", ANALYSIS]].map((all) =>
      Object.values(JSON.parse(run("npx", all, folder)))[0].thumb);
    assert.equal(streams[0].length, streams[1].length);
    assert.notEqual(streams[0], streams[1]);
  });

  test("a network that is missing is named", () => {
    const words = ["--no-install", "thumbstream", "encode", `${SAMPLES}cat.jpg`, "--network", "no.onnx"];
    assert.throws(() => run("npx", words, folder), /thumbstream: .*no\.onnx/);
  });
});
