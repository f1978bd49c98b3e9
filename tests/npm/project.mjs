/** A project in a temporary folder, with the client installed as a package. */

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { fileURLToPath } from "node:url";

export const CLIENT = fileURLToPath(new URL("../../service/thumbstream/web/client/", import.meta.url));

const QUIET = ["--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"];

/** The output of a program; its error has the complete output. */
export function run(program, words, folder) {
  try {
    return execFileSync(program, words, { cwd: folder, encoding: "utf8", stdio: "pipe" });
  } catch ({ status, stdout, stderr }) {
    throw new Error(`${program} ${words.join(" ")}: ${status}\n${stdout}${stderr}`);
  }
}

/** @returns {string} a folder that is removed after the tests of the calling file */
export function temporary() {
  const folder = mkdtempSync(join(tmpdir(), "thumbstream-"));
  after(() => rmSync(folder, { recursive: true }));
  return folder;
}

/**
 * Pack and install the client, and other packages.
 *
 * @param {string} folder
 * @param {string[]} packages with versions
 * @param {string[]} options of npm
 */
export function install(folder, packages = [], options = ["--omit=optional"]) {
  const json = { private: true, type: "module" };
  writeFileSync(join(folder, "package.json"), JSON.stringify(json));
  const [{ filename }] = JSON.parse(
    run("npm", ["pack", "--json", "--pack-destination", folder], CLIENT),
  );
  const network = packages.length ? "--prefer-offline" : "--offline";
  run("npm", ["install", ...QUIET, network, ...options, `./${filename}`, ...packages], folder);
}
