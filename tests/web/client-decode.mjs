/**
 * Decodes streams for a test in another language: `node client-decode.mjs CLIENT_BIN < streams`.
 *
 * Standard input has one stream per line, in hexadecimal digits. For each it writes a line of JSON:
 * the picture and the symbols as decoded by `wasm` and by `plain`, and the first `look`, which is that
 * of the published model; or the `error`.
 */

import { readFileSync } from "node:fs";

import { firstLook, load } from "../../service/thumbstream/web/client/index.js";

const bytes = readFileSync(process.argv[2]);
const decoders = {
  wasm: await load({ bytes, integrity: "" }),
  plain: await load({ bytes, integrity: "", wasm: false }),
};

const base64 = (array) => Buffer.from(array.buffer, array.byteOffset, array.byteLength).toString("base64");

/** The picture and the symbols of a stream. */
function decoded(decoder, stream) {
  const { latents, decodedCount: known, planes } = decoder.symbols(stream);
  const { data, ...picture } = decoder.decode(stream);
  return {
    ...picture,
    known,
    planes,
    rgba: base64(data),
    states: latents.map(({ states }) => base64(states)),
    levels: latents.map(({ levels }) => base64(levels)),
  };
}

for (const line of readFileSync(0, "latin1").trim().split("\n")) {
  const stream = Uint8Array.from(Buffer.from(line, "hex"));
  let answer;
  try {
    answer = { look: base64(firstLook(stream).data) };
    for (const [name, decoder] of Object.entries(decoders)) answer[name] = decoded(decoder, stream);
  } catch (error) {
    answer = { error: error.name };
  }
  console.log(JSON.stringify(answer));
}
