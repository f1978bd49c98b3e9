/** The types of the client, checked if a TypeScript compiler is installed. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import * as client from "../../service/thumbstream/web/client/index.js";

const USAGE = fileURLToPath(new URL("client-usage.ts", import.meta.url));
// For example TSC="npx --yes -p typescript@5.9.3 tsc".
const [program, ...rest] = (process.env.TSC ?? "tsc").split(" ");
const there = spawnSync(program, [...rest, "--version"]).status === 0;

test("the client type-checks", { skip: !there && "no compiler (TSC)" }, () => {
  const options = [
    "--noEmit", "--strict", "--noUncheckedIndexedAccess", "--target", "es2022",
    "--module", "nodenext", "--lib", "es2022,dom",
  ];
  const { status, stdout } = spawnSync(program, [...rest, ...options, USAGE], { encoding: "utf8" });
  assert.equal(status, 0, stdout);
});

test("exports what its types declare", () => {
  const names = [
    "BitstreamError", "ResponseError", "WeightsError", "aspectRatio", "averageColor", "decode",
    "decodeInBackground", "fetchThumb", "fetchThumbs", "firstLook", "load", "prefixes", "toDataURL",
  ];
  assert.deepEqual(Object.keys(client).sort(), names);
});
