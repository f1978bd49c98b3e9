/** Encoding with the installed package: the function, files with sharp, and the command line. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { install, run, temporary } from "./project.mjs";

const SAMPLES = fileURLToPath(new URL("../../service/thumbstream/web/samples/", import.meta.url));
const SIZES = { "cat.jpg": [451, 300], "rocket.jpg": [640, 427] };

const thumbstream = (folder, ...words) => {
  const { status, stdout, stderr } =
    spawnSync("npx", ["--no-install", "thumbstream", ...words], { cwd: folder, encoding: "utf8" });
  return { status, stdout, stderr };
};

describe("with sharp", () => {
  const folder = temporary();
  before(() => {
    install(folder, ["sharp@0.35.5"], []);
    mkdirSync(join(folder, "photos", "more"), { recursive: true });
    copyFileSync(join(SAMPLES, "cat.jpg"), join(folder, "photos", "cat.jpg"));
    copyFileSync(join(SAMPLES, "rocket.jpg"), join(folder, "photos", "more", "rocket.jpg"));
  });

  test("the command encodes a folder", () => {
    const { status, stdout, stderr } = thumbstream(folder, "encode", "photos");
    assert.equal(status, 0);
    assert.equal(stderr, "2 of 2 pictures encoded\n");
    const found = JSON.parse(stdout);
    assert.deepEqual(Object.keys(found), ["photos/cat.jpg", "photos/more/rocket.jpg"]);
    for (const [path, { thumb, width, height }] of Object.entries(found)) {
      assert.equal(Buffer.from(thumb, "base64url").length, 24);
      assert.deepEqual([width, height], SIZES[path.split("/").at(-1)]);
    }
  });

  test("functions encode the same bytes", () => {
    writeFileSync(join(folder, "encode.js"), `
      import sharp from "sharp";
      import { encode } from "thumbstream/encode";
      import { encodeFile } from "thumbstream/encode-file";
      const { stream } = await encodeFile("photos/cat.jpg", { maxBytes: 24 });
      const { data, info } = await sharp("photos/cat.jpg").ensureAlpha().raw()
        .toBuffer({ resolveWithObject: true });
      console.log(JSON.stringify(
        [stream, encode({ ...info, data }, { maxBytes: 24 })].map((bytes) => [...bytes])));`);
    const [file, pixels] = JSON.parse(run("node", ["encode.js"], folder));
    assert.deepEqual(file, pixels);
    const { stdout } = thumbstream(folder, "encode", "photos/cat.jpg");
    assert.deepEqual([...Buffer.from(JSON.parse(stdout)["photos/cat.jpg"].thumb, "base64url")], file);
  });

  test("orientation and transparency are those of the file", () => {
    writeFileSync(join(folder, "draw.js"), `
      import sharp from "sharp";
      import { aspectRatio } from "thumbstream";
      import { encodeFile } from "thumbstream/encode-file";
      await sharp("photos/cat.jpg").withMetadata({ orientation: 6 }).toFile("turned.jpg");
      await sharp({ create: { width: 40, height: 40, channels: 4, background: "#f008" } }).toFile("red.png");
      const turned = await encodeFile("turned.jpg");
      const red = await encodeFile("red.png");
      console.log(turned.width, turned.height, aspectRatio(turned.stream) < 1, red.stream[0].toString(16));`);
    assert.equal(run("node", ["draw.js"], folder), "300 451 true c3\n");
  });

  test("pictures that cannot be read are named, and the others encoded", () => {
    writeFileSync(join(folder, "photos", "broken.png"), "not a picture");
    const { status, stderr } = thumbstream(folder, "encode", "photos", "--output", "thumbs.json");
    assert.equal(status, 1);
    assert.match(stderr, /^photos\/broken\.png: .+\n2 of 3 pictures encoded\n$/);
    const found = JSON.parse(readFileSync(join(folder, "thumbs.json"), "utf8"));
    assert.equal(Object.keys(found).length, 2);
  });

  test("wrong commands are errors of usage", () => {
    for (const words of [
      [], ["decode", "photos"], ["encode"], ["encode", "photos", "--bytes", "many"],
      ["encode", "photos", "--size", "33"], ["encode", "node_modules/.bin"], ["encode", "--fast", "photos"],
    ]) {
      const { status, stderr } = thumbstream(folder, ...words);
      assert.equal(status, 2, words.join(" "));
      assert.match(stderr, /^thumbstream: .+\nthumbstream --help says more\.\n$/);
    }
  });
});

test("without sharp, the error names it", () => {
  const folder = temporary();
  install(folder);
  copyFileSync(join(SAMPLES, "cat.jpg"), join(folder, "cat.jpg"));
  const { status, stderr } = thumbstream(folder, "encode", "cat.jpg");
  assert.equal(status, 1);
  assert.equal(stderr, "thumbstream: sharp, which reads the pictures, is missing: npm install sharp\n");
});
