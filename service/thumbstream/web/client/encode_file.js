/** Encodes picture files in Node. Files are read with the package `sharp` of the project. */

import { readFile } from "node:fs/promises";
import { basename } from "node:path";

import { encode } from "./encode.js";
import { optionalPackage } from "./optional_package.js";

const READ_SIZE = 1024; // pixels: larger pictures are reduced while they are read

/** File names of pictures that can be encoded. */
export const PICTURES = /\.(jpe?g|png|webp|avif)$/i;

/** Bytes of a stream that a page inlines. */
export const INLINED_BYTES = 24;

/** @type {import("./encode_file.js").encodeFile} */
export async function encodeFile(path, { encoder = encode, ...options } = {}) {
  const sharp = await optionalPackage("sharp", "reads the pictures");
  const image = sharp(await readFile(path), { failOn: "error" });
  const { autoOrient: original } = await image.metadata();
  const { data, info } = await image.autoOrient().toColorspace("srgb").ensureAlpha()
    .resize({ width: READ_SIZE, height: READ_SIZE, fit: "inside", withoutEnlargement: true })
    .raw().toBuffer({ resolveWithObject: true });
  const stream = await encoder({ ...info, data }, { ...options, original });
  return { width: original.width, height: original.height, stream };
}

/**
 * @param {string} path of a picture
 * @param {object} [options] as of `encodeFile`
 * @returns {Promise<string>} the module that `import photo from "./lake.jpg?thumb"` gets
 */
export async function pictureModule(path, options) {
  const { width, height, stream } = await encodeFile(path, { maxBytes: INLINED_BYTES, ...options });
  const values = JSON.stringify({ width, height, thumb: textOf(stream) }).slice(1);
  return `import image from ${JSON.stringify(`./${basename(path)}`)};
export default {"src":image.src??image,${values};
`;
}

/** @returns {string} in base64 for URLs and attributes */
export const textOf = (stream) => Buffer.from(stream).toString("base64url");
