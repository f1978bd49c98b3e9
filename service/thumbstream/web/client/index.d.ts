/** thumbstream for browsers and Node: pictures from streams and from any prefix of them. */

export { decodeInBackground } from "./background.js";
export { ResponseError, fetchThumb, fetchThumbs, prefixes } from "./fetch.js";
export type { ThumbOptions } from "./fetch.js";

/** A stream, or a prefix of one of at least one byte: bytes, or the same in base64. */
export type Stream = Uint8Array | string;

/** A decoded picture. */
export interface Picture {
  /** Pixels. */
  width: number;
  /** Pixels. */
  height: number;
  /** Width to height ratio: exact if the stream names it, otherwise that of the pixels. */
  aspectRatio: number;
  /** The mean color in CSS notation: `#rrggbb`, or `#rrggbbaa` with transparency. */
  averageColor: string;
  /** RGBA, row by row, not premultiplied: what `ImageData` takes. */
  data: Uint8ClampedArray<ArrayBuffer>;
}

/** The symbols that a stream determines, before the synthesis network. */
export interface Symbols {
  /** Of the color layer, and of the alpha layer if there is one. */
  latents: {
    /** `states[channel * cells + cell]`: the quantized integer. */
    states: Int32Array;
    /** The last plane of its class that is known. */
    levels: Int32Array;
  }[];
  /** How many symbols the bytes determine. */
  decodedCount: number;
  /** How many planes are complete; 0 in the first look. */
  planes: number;
  /** Cells of 8 x 8 pixels. */
  grid: { rows: number; columns: number };
}

/** The decoder of one model. Its methods are synchronous. */
export interface Decoder {
  /** The name of the model, for example `thumbstream-2`. */
  readonly modelId: string;
  /** The bitstream id of the streams that it decodes. */
  readonly bitstreamId: number;
  /** The picture of a stream. Throws `BitstreamError`, or `TypeError` for another type. */
  decode(stream: Stream): Picture;
  /** The symbols of a stream, for tests and tools. Throws as `decode`. */
  symbols(stream: Stream): Symbols;
}

/** Where the weights come from, and how they are run. */
export interface LoadOptions {
  /** Address of the weights, instead of the published ones. */
  url?: string | URL;
  /** The weights themselves, instead of `url`. */
  bytes?: Uint8Array | ArrayBuffer;
  /** Their hash, as `sha256-` and base64, by default that of this version; `""` skips the check. */
  integrity?: string;
  /** Whether to use WebAssembly if possible, by default true. Plain JavaScript gives the same. */
  wasm?: boolean;
  /** Aborts the request. */
  signal?: AbortSignal;
}

/**
 * Fetch the published weights, check them, and create a decoder.
 *
 * Rejects with `WeightsError` if they are not the published ones, and as `fetch` does.
 */
export function load(options?: LoadOptions): Promise<Decoder>;

/** What to do with streams of models whose weights are not published for browsers. */
export interface DecodeOptions {
  /**
   * The address of a service's `/decode`, which such streams are sent to, and no others. Without it
   * they are a `BitstreamError`.
   */
  decoder?: string | URL;
  /** Aborts the request to the service. */
  signal?: AbortSignal;
}

/**
 * The picture of a stream. The first call fetches the weights.
 *
 * Rejects with `BitstreamError`, with `TypeError` for another type, and as `load` does; if a service
 * decodes, with `ResponseError` and as `fetch` does.
 */
export function decode(stream: Stream, options?: DecodeOptions): Promise<Picture>;

/** The same as the data URL of a PNG file, for `src`, `blurDataURL` or e-mail. */
export function toDataURL(stream: Stream, options?: DecodeOptions): Promise<string>;

/**
 * The first look: what the first bytes of a stream show, synchronously and without weights. It does not
 * change after some 20 to 30 bytes. Throws `BitstreamError` or `TypeError`.
 */
export function firstLook(stream: Stream): Picture;

/** The mean color of the first look: `#rrggbb`, or `#rrggbbaa` with transparency. Throws as it. */
export function averageColor(stream: Stream): string;

/** Width to height ratio, synchronously, from the first one to three bytes. Throws as `averageColor`. */
export function aspectRatio(stream: Stream): number;

/** Bytes that are not a stream, or a stream of a model that this client cannot decode. */
export class BitstreamError extends Error {}

/** Weights that are incomplete, altered, or of an unknown format. */
export class WeightsError extends Error {}
