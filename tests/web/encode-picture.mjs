/** For a test in Python: streams of pictures on standard input, by the encoder in a folder. */

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const { encode } = await import(pathToFileURL(`${process.argv[2]}/encode.js`).href);
for (const line of readFileSync(0, "utf8").trim().split("\n")) {
  const { rgba, ...picture } = JSON.parse(line);
  const data = Uint8Array.from(Buffer.from(rgba, "base64"));
  console.log(Buffer.from(encode({ ...picture, data })).toString("hex"));
}
