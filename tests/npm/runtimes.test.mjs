/** The installed package in Node, Deno, Bun and workerd: the same stream and the same picture. */

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, test } from "node:test";

import { install, run, temporary } from "./project.mjs";

const PACKAGES = ["deno@2.9.6", "bun@1.4.5", "workerd@1.20261117.1", "esbuild@0.25.10"];
const ROUND_TRIP = `
  import { aspectRatio, averageColor, decode, toDataURL } from "thumbstream";
  import { encode } from "thumbstream/encode";
  export async function roundTrip() {
    const data = Uint8Array.from({ length: 4 * 48 * 32 }, (_, i) => i % 4 > 2 ? 255 : i >> 5);
    const stream = encode({ width: 48, height: 32, data }, { maxBytes: 64 });
    const { width, height, data: pixels } = await decode(stream);
    const url = await toDataURL(stream);
    const facts = [width, height, aspectRatio(stream), averageColor(stream), url, pixels.join()];
    return [stream.join(), ...facts].join(" ");
  }`;
const MAIN = 'import { roundTrip } from "./round-trip.js"; console.log(await roundTrip());';
const WORKER = `
  import { roundTrip } from "./round-trip.js";
  export default { async test() { console.log(await roundTrip()); } };`;
const CONFIG = `
  using Workerd = import "/workerd/workerd.capnp";
  const config :Workerd.Config = (services = [(name = "main", worker = (
    modules = [(name = "worker.js", esModule = embed "bundle/worker.js")],
    compatibilityDate = "2026-01-01",
  ))]);`;

describe("round trip", () => {
  const folder = temporary();
  let expected;
  before(() => {
    install(folder, PACKAGES, []);
    const files = {
      "round-trip.js": ROUND_TRIP, "main.js": MAIN, "worker.js": WORKER, "config.capnp": CONFIG,
    };
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    expected = run("node", ["main.js"], folder);
    assert.match(expected, /^[\d,]+ 32 21 1\.5 #[0-9a-f]{6} data:image\/png;base64,/);
  });

  const here = (...words) => run("npx", ["--no-install", ...words], folder);

  test("Deno", () => assert.equal(here("deno", "run", "--allow-read", "main.js"), expected));

  test("Bun", () => {
    run("node", [join("node_modules", "bun", "install.js")], folder); // scripts were ignored
    assert.equal(here("bun", "main.js"), expected);
  });

  test("workerd", () => {
    here("esbuild", "worker.js", "--bundle", "--format=esm", "--conditions=workerd", "--outdir=bundle",
      "--external:node:*", "--log-level=error");
    assert.ok(here("workerd", "test", "config.capnp").includes(expected));
  });
});
