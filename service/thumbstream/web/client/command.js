#!/usr/bin/env node
/** The command line: `npx thumbstream encode photos/`. */

import { readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { checkOptions } from "./encode.js";
import { INLINED_BYTES, PICTURES, encodeFile, textOf } from "./encode_file.js";
import { loadEncoder } from "./encode_network.js";

const USAGE = `Usage: thumbstream encode PATH... [options]

Encodes pictures and all JPEG, PNG, WebP and AVIF files in folders. Writes JSON:
{"photos/lake.jpg": {"thumb": "...", "width": 3000, "height": 2000}, ...}

  --bytes N      length of each stream, or "all" (default ${INLINED_BYTES})
  --size N       long side of a preview in pixels, a multiple of 8 up to 256 (default 32)
  --network FILE analysis.onnx of the published model, a path or an address; needs onnxruntime-node
  --flatten      show transparent pictures over white
  --output FILE  write there instead of to the terminal
  --help

Exit status: 0 if all pictures were encoded, 1 if some were not, 2 if the command is wrong.
`;
const OPTIONS = {
  bytes: { type: "string", default: String(INLINED_BYTES) },
  size: { type: "string", default: "32" },
  network: { type: "string" },
  flatten: { type: "boolean", default: false },
  output: { type: "string" },
  help: { type: "boolean", short: "h", default: false },
};

/** The command is wrong, not a picture. */
const isUsage = (error) => error instanceof TypeError || error instanceof RangeError;

const say = (text) => process.stderr.write(text);

/** Paths of the pictures in a folder, or the path of a file. */
async function picturesOf(path) {
  const found = await stat(path).catch(() => {
    throw new TypeError(`${path} is not a file or a folder`);
  });
  if (!found.isDirectory()) return [path];
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile() && PICTURES.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name)).sort();
}

async function encodeAll(paths, options) {
  const found = {};
  let failed = 0;
  for (const [i, path] of paths.entries()) {
    if (process.stderr.isTTY) say(`\r${i + 1} of ${paths.length}`);
    try {
      const { stream, ...size } = await encodeFile(path, options);
      found[path] = { thumb: textOf(stream), ...size };
    } catch (error) {
      if (error.cause) throw error; // sharp is missing
      failed++;
      say(`${process.stderr.isTTY ? "\n" : ""}${path}: ${error.message}\n`);
    }
  }
  say(`${process.stderr.isTTY ? "\r" : ""}${paths.length - failed} of ${paths.length} pictures encoded\n`);
  return { found, failed };
}

function countOf(name, text) {
  const count = Number(text);
  if (Number.isInteger(count) && count > 0) return count;
  throw new TypeError(`--${name} must be a positive integer, got ${text}`);
}

async function main() {
  const { values, positionals: [command, ...paths] } = parseArgs({ options: OPTIONS, allowPositionals: true });
  if (values.help) return process.stdout.write(USAGE);
  if (command !== "encode" || !paths.length) throw new TypeError("expected: thumbstream encode PATH...");
  const options = {
    maxBytes: values.bytes === "all" ? undefined : countOf("bytes", values.bytes),
    size: countOf("size", values.size),
    alpha: values.flatten ? "flatten" : "keep",
  };
  checkOptions(options);
  if (values.network) options.encoder = await loadEncoder(values.network);
  const pictures = (await Promise.all(paths.map(picturesOf))).flat();
  if (!pictures.length) throw new TypeError(`no JPEG, PNG, WebP or AVIF files in ${paths.join(", ")}`);
  const { found, failed } = await encodeAll(pictures, options);
  const text = `${JSON.stringify(found, null, 2)}\n`;
  await (values.output ? writeFile(values.output, text) : process.stdout.write(text));
  process.exitCode = failed ? 1 : 0;
}

main().catch((error) => {
  say(`thumbstream: ${error.message}\n`);
  if (isUsage(error)) say("thumbstream --help says more.\n");
  process.exitCode = isUsage(error) ? 2 : 1;
});
