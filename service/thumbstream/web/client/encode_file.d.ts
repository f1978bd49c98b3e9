/** Encodes picture files in Node. */

import type { EncodeOptions, Pixels } from "./encode.js";

/** As those of `encode`. */
export interface FileOptions extends Omit<EncodeOptions, "original"> {
  /** What `loadEncoder` of thumbstream/encode-network returns; `encode` by default. */
  encoder?: (picture: Pixels, options: EncodeOptions) => Uint8Array | Promise<Uint8Array>;
}

export interface EncodedFile {
  /** Of the picture, upright, in pixels. */
  width: number;
  height: number;
  stream: Uint8Array;
}

/**
 * The stream of a JPEG, PNG, WebP or AVIF file. Orientation and color profile are applied. The package
 * `sharp` must be installed.
 */
export function encodeFile(path: string | URL, options?: FileOptions): Promise<EncodedFile>;
