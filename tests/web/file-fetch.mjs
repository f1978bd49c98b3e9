/** Lets built modules, which are for browsers, fetch their files in Node. */

import { readFileSync } from "node:fs";

const { fetch } = globalThis;

globalThis.fetch = async (url, options) =>
  String(url).startsWith("file:") ? new Response(readFileSync(new URL(url))) : fetch(url, options);
