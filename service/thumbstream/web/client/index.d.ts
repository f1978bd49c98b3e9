/** thumbstream in the browser, and in Node: pictures from streams and from any prefix of them. */

export { ResponseError, fetchThumb, fetchThumbs } from "./fetch.js";
export type { ThumbOptions } from "./fetch.js";

/** A decoded picture. */
export interface Picture {
  /** Pixels. */
  width: number;
  /** Pixels. */
  height: number;
  /** Width to height of what is shown: exact where the stream names it, else that of the pixels. */
  aspectRatio: number;
  /** The mean colour as CSS takes it: `#rrggbb`, or `#rrggbbaa` where there is transparency. */
  averageColor: string;
  /** RGBA, row by row, not premultiplied: what `ImageData` takes. */
  data: Uint8ClampedArray<ArrayBuffer>;
}

/** What a stream determines, before anything is drawn. */
export interface Symbols {
  /** Of the colours, and of alpha where there is some. */
  latents: {
    /** `states[channel * cells + cell]`: a whole number, */
    states: Int32Array;
    /** and to which level it is known. */
    levels: Uint8Array;
  }[];
  /** How many symbols are known. */
  known: number;
  /** Cells of 8 x 8 pixels. */
  grid: { rows: number; columns: number };
}

/** The decoder of one model. It never waits. */
export interface Decoder {
  /** The model's name, for example `thumbstream-1`. */
  readonly modelId: string;
  /** Which streams it reads. */
  readonly bitstreamId: number;
  /** The picture of a stream or of any prefix of one, of one byte or more. Throws `BitstreamError`. */
  decode(stream: Uint8Array): Picture;
  /** What the bytes determine; for tests and tools. Throws `BitstreamError`. */
  symbols(stream: Uint8Array): Symbols;
}

/** Where the weights come from, and how they are run. */
export interface LoadOptions {
  /** Of the weights; by default `client.bin` beside this module. */
  url?: string | URL;
  /** The weights themselves, in place of `url`. */
  bytes?: Uint8Array | ArrayBuffer;
  /** Their hash in hexadecimal digits, by default that of this version; `null` checks nothing. */
  sha256?: string | null;
  /** Whether to try WebAssembly, which is the default; without it, plain JavaScript does the same. */
  wasm?: boolean;
  /** Gives up fetching. */
  signal?: AbortSignal;
}

/**
 * Fetch, check and open the published weights.
 *
 * Rejects with `WeightsError` when they are not what was published, and as `fetch` does.
 */
export function load(options?: LoadOptions): Promise<Decoder>;

/** What to do with streams of models without weights for browsers. */
export interface DecodeOptions {
  /**
   * The address of a service's `/decode`: it is sent such streams, and only these. Without it they
   * are a `BitstreamError`.
   */
  decoder?: string | URL;
  /** Gives up asking the service. */
  signal?: AbortSignal;
}

/**
 * The picture of a stream or of any prefix of one. Fetches the weights when they are first needed.
 *
 * Rejects with `BitstreamError`, and as `load` does; where a service is asked, with `ResponseError`
 * and as `fetch` does.
 */
export function decode(stream: Uint8Array, options?: DecodeOptions): Promise<Picture>;

/** The same as the data URL of a PNG file, written in memory: for `src`, `blurDataURL`, e-mail. */
export function toDataURL(stream: Uint8Array, options?: DecodeOptions): Promise<string>;

/**
 * The mean colour as far as the first bytes tell, at once and without the weights: `#rrggbb`, or
 * `#rrggbbaa` of a picture with alpha. An estimate. Throws `BitstreamError`.
 */
export function averageColor(stream: Uint8Array): string;

/** Width to height, at once: from the first one to three bytes. Throws `BitstreamError`. */
export function aspectRatio(stream: Uint8Array): number;

/** Bytes that are not a thumbstream stream, or one that this client cannot read. */
export class BitstreamError extends Error {}

/** Weights that are incomplete, altered, or of an unknown format. */
export class WeightsError extends Error {}
