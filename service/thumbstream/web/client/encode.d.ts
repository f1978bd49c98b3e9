/** Pixels to streams, in browsers and on servers, without networks. */

/** A picture: what `getImageData` of a canvas returns, or RGBA pixels of any decoder. */
export interface Pixels {
  width: number;
  height: number;
  /** RGBA, row by row, 8 bits each, not premultiplied, in sRGB. */
  data: Uint8ClampedArray | Uint8Array;
}

export interface EncodeOptions {
  /** Limit of the stream in bytes; without it, all: about 500 at the default size. */
  maxBytes?: number;
  /** The long side of the preview in pixels, a multiple of 8 up to 256; 32 by default. */
  size?: number;
  /** Keep transparency (the default), or show it over white. */
  alpha?: "keep" | "flatten";
  /** The size of the original, if `picture` is a reduction of it: its aspect ratio is stored. */
  original?: { width: number; height: number };
}

/**
 * The stream of a picture, the most important bytes first. Synchronous. Any size: large pictures are
 * reduced as the service does it.
 *
 * Throws `TypeError` for anything that is not a picture, and `RangeError` for invalid options.
 */
export function encode(picture: Pixels, options?: EncodeOptions): Uint8Array<ArrayBuffer>;
