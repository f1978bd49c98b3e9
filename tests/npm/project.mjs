/** A project of a user, in a temporary folder: what npm would bring, and the client as a package. */

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { fileURLToPath } from "node:url";

export const CLIENT = fileURLToPath(new URL("../../service/thumbstream/web/client/", import.meta.url));

const QUIET = ["--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"];

/** What a program prints; an error with all that it said where it fails. */
export function run(program, words, folder) {
  try {
    return execFileSync(program, words, { cwd: folder, encoding: "utf8", stdio: "pipe" });
  } catch ({ status, stdout, stderr }) {
    throw new Error(`${program} ${words.join(" ")}: ${status}\n${stdout}${stderr}`);
  }
}

/** @returns {string} a folder that is removed when the tests of the calling file are over */
export function temporary() {
  const folder = mkdtempSync(join(tmpdir(), "thumbstream-"));
  after(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** Pack the client, and install it with other packages. @param {string[]} packages pinned */
export function install(folder, packages = []) {
  const json = { private: true, type: "module" };
  writeFileSync(join(folder, "package.json"), JSON.stringify(json));
  const [{ filename }] = JSON.parse(
    run("npm", ["pack", "--json", "--pack-destination", folder], CLIENT),
  );
  const network = packages.length ? "--prefer-offline" : "--offline";
  run("npm", ["install", ...QUIET, network, "--omit=optional", `./${filename}`, ...packages], folder);
}
