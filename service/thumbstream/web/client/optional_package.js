/** Packages that only some functions need, so that they are no dependencies. For Node. */

import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

/**
 * @param {string} name
 * @param {string} purpose for the error
 * @returns {Promise<object>} the package of the current project or, without one, of this package
 * @throws {Error} with a `cause`, if there is none
 */
export async function optionalPackage(name, purpose) {
  let path = name;
  try {
    path = pathToFileURL(createRequire(join(process.cwd(), "package.json")).resolve(name)).href;
  } catch {
    // not in the project
  }
  try {
    return (await import(/* @vite-ignore */ /* webpackIgnore: true */ path)).default;
  } catch (cause) {
    if (cause.code !== "ERR_MODULE_NOT_FOUND") throw cause;
    throw new Error(`${name}, which ${purpose}, is missing: npm install ${name}`, { cause });
  }
}
