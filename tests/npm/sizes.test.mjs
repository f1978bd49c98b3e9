/** What bundlers keep of the package, for a page that imports single functions. */

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import { gzipSync } from "node:zlib";

import { install, run, temporary } from "./project.mjs";

/** Limits in bytes, gzipped, of the code that is loaded before anything is called. */
const LIMITS = {
  'import { aspectRatio } from "thumbstream"; console.log(aspectRatio);': 1000,
  'import { averageColor } from "thumbstream"; console.log(averageColor);': 5950,
  'import { encode } from "thumbstream/encode"; console.log(encode);': 76_000,
};

describe("a bundle", () => {
  const folder = temporary();
  before(() => install(folder, ["esbuild@0.25.10"], []));

  for (const [code, limit] of Object.entries(LIMITS)) {
    test(`of at most ${limit} bytes: ${code}`, (context) => {
      writeFileSync(join(folder, "main.js"), code);
      const options = ["--bundle", "--minify", "--format=esm", "--conditions=browser", "--log-level=error"];
      const bundle = run("npx", ["--no-install", "esbuild", "main.js", ...options], folder);
      const { length } = gzipSync(bundle, { level: 9 });
      context.diagnostic(`${length} bytes`);
      assert.ok(length <= limit, `${length} bytes`);
    });
  }
});
