/** The package as npm publishes it: its files, and that Node and TypeScript find them. */

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, test } from "node:test";

import { load } from "../../service/thumbstream/web/client/index.js";
import { bytesOf, vectorsOf } from "../web/client-vectors.mjs";
import { CLIENT, install, run, temporary } from "./project.mjs";

const MANIFEST = JSON.parse(readFileSync(join(CLIENT, "package.json"), "utf8"));
const METADATA = ["LICENSE", "README.md", "package.json"];
const SOURCES = ["build.sh", "bundle.sh", "kernels.c", "kernels.wasm"]; // of the built files
const TSC = (process.env.TSC ?? "npx --yes -p typescript@5.9.3 tsc").split(" ");

/** The files that `exports` names. */
const paths = (target) =>
  typeof target === "string" ? [target] : Object.values(target).flatMap(paths);
const entries = [MANIFEST.exports, MANIFEST.imports, MANIFEST.bin].flatMap(paths).map((path) => path.slice(2));

/** Some files, and all files that they import, fetch or take types from. */
function closure(names) {
  const all = new Set(names);
  for (const name of all) { // the loop also visits what it adds
    if (!/\.(js|[cm]?ts|cjs)$/.test(name)) continue;
    const text = readFileSync(join(CLIENT, name), "utf8");
    for (const [, file] of text.matchAll(/["'`]\.\/([\w.-]+)["'`]/g)) {
      if (!file.endsWith(".cjs")) all.add(file); // types of require(), whose code is one file
      if (/\.d\.c?ts$/.test(name)) all.add(file.replace(/\.(c?)js$/, ".d.$1ts"));
    }
  }
  return [...all];
}

test("the package has the files that its entries need, and no others", () => {
  const [{ files }] = JSON.parse(run("npm", ["pack", "--dry-run", "--json"], CLIENT));
  const packed = files.map(({ path }) => path);
  const needed = new Set([...closure(entries), ...METADATA, ...SOURCES]);
  assert.deepEqual(packed.sort(), [...needed].sort());
});

describe("installed in a project", () => {
  const folder = temporary();
  before(() => install(folder));

  test("Node decodes a golden vector", async () => {
    const { hex, known } = vectorsOf("thumbstream-2").vectors[0];
    writeFileSync(join(folder, "decode.js"), `
      import { averageColor, decode, load, toDataURL } from "thumbstream";
      const stream = Uint8Array.from(Buffer.from("${hex}", "hex"));
      const { width, height, data } = await decode(stream);
      const { decodedCount } = (await load()).symbols(stream);
      const url = await toDataURL(stream.subarray(0, 64));
      console.log(JSON.stringify(
        { width, height, data: [...data], decodedCount, url, color: averageColor(stream) }));`);
    const output = JSON.parse(run("node", ["decode.js"], folder));
    const { data, ...rest } = (await load()).decode(bytesOf(hex));
    assert.deepEqual(output.data, [...data]);
    assert.deepEqual([output.width, output.height], [rest.width, rest.height]);
    assert.equal(output.decodedCount, known.at(-1));
    assert.match(output.url, /^data:image\/png;base64,/);
    assert.match(output.color, /^#[0-9a-f]{6}$/);
  });

  test("require() decodes, too", async () => {
    writeFileSync(join(folder, "decode.cjs"), `
      const { averageColor, decode } = require("thumbstream");
      decode("fvy6lzrcuFmVhAyZ").then(({ width }) => console.log(width, averageColor("fvy6")));`);
    assert.match(run("node", ["decode.cjs"], folder), /^32 #[0-9a-f]{6}\n$/);
  });

  for (const resolution of ["bundler", "nodenext"]) {
    test(`TypeScript finds the types of all entries (${resolution})`, () => {
      const typed = Object.entries(MANIFEST.exports)
        .filter(([path, target]) => typeof target !== "string" && path !== "./react");
      const lines = typed.map(([path], i) =>
        `import * as entry${i} from "thumbstream${path.slice(1)}"; void entry${i};`);
      const use = `import { decode, type Picture } from "thumbstream";
        import { sharpen } from "thumbstream/images";
        import thumbstream from "thumbstream/vite";
        import withThumbstream from "thumbstream/next";
        import { encode } from "thumbstream/encode";
        import lake from "./lake.jpg?thumb";
        export const config: { reactStrictMode: boolean } = withThumbstream({ reactStrictMode: true });
        export const plugin: { name: string; enforce?: "pre" | "post" } = thumbstream({ maxBytes: 48 });
        export const stream: Uint8Array = encode(new ImageData(32, 32), { maxBytes: 24 });
        const { src, width, thumb }: { src: string; width: number; thumb: string } = lake;
        document.images[0]!.dataset.thumb = [src, width, thumb].join();
        // @ts-expect-error: an option that does not exist
        encode(new ImageData(32, 32), { bytes: 24 });
        export const draw = async (stream: Uint8Array): Promise<Picture> => decode(stream);
        export const done: Promise<void> = sharpen();
        document.images[0]!.addEventListener("previewerror", ({ error }) => console.error(error));
        // @ts-expect-error: a stream is a Uint8Array or base64
        decode(new ArrayBuffer(3));`;
      writeFileSync(join(folder, "use.ts"), [...lines, use].join("\n"));
      const module = resolution === "bundler" ? "esnext" : "nodenext";
      const options = ["--noEmit", "--strict", "--target", "es2022", "--lib", "es2022,dom,dom.iterable",
        "--module", module, "--moduleResolution", resolution];
      run(TSC[0], [...TSC.slice(1), ...options, "use.ts"], folder);
    });
  }
});
