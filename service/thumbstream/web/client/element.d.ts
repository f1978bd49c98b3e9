/** `<thumb-stream>`: an image that its first bytes already show. Importing this defines it. */

export * from "./index.js";
export { prefixes } from "./fetch.js";
export { decodeInBackground } from "./pool.js";

/** Attributes as properties: strings, empty where the attribute is missing; null removes it. */
type Reflected = string | number | null | undefined;

/** Of what `<thumb-stream>` understands beyond other elements: for the types of templates. */
export interface ThumbStreamAttributes {
  /** Where the stream is: `/thumb/{id}` of the service, or any file that a server has. */
  src?: string;
  /** Its first bytes, or all of them, in base64: shown at once. */
  stream?: string;
  /** How many of them to fetch: a number, or `all`. By default 16 to 128, as the connection is. */
  bytes?: number | "all" | (string & {});
  /** A service's `/decode`, which is asked where the stream's model has no browser weights. */
  decoder?: string;
  /** The picture itself, which takes the place of the preview. */
  full?: string;
  /** As of `<img>`, for `full`. */
  srcset?: string;
  /** As of `<img>`, for `srcset`. */
  sizes?: string;
  /** As of `<img>`. Empty: decoration, which screen readers leave out. */
  alt?: string;
  /** `lazy` waits until it is near the screen. */
  loading?: "eager" | "lazy" | (string & {});
  /** CSS pixels; with `height`, the shape too. */
  width?: number | string;
  /** CSS pixels. */
  height?: number | string;
}

/**
 * Events: `preview` whenever a sharper one was painted; `load` when the last picture that was asked
 * for is there; `error`, an `ErrorEvent` with the `error`, when there is none, or not `full`.
 * CSS: `::part(preview)`, `::part(full)`; `object-fit` and `object-position` as of `<img>`.
 */
export class ThumbStream extends HTMLElement {
  /** Whether there is nothing more to wait for. */
  readonly complete: boolean;
  /** Pixels of what is shown: of the picture, else of the preview; 0 while there is neither. */
  readonly naturalWidth: number;
  /** The same of the other side. */
  readonly naturalHeight: number;
  /** Resolves when the last picture is there; rejects with an `EncodingError` behind `error`. */
  decode(): Promise<void>;

  get src(): string;
  set src(value: Reflected);
  get stream(): string;
  set stream(value: Reflected);
  get bytes(): string;
  set bytes(value: Reflected);
  get decoder(): string;
  set decoder(value: Reflected);
  get full(): string;
  set full(value: Reflected);
  get srcset(): string;
  set srcset(value: Reflected);
  get sizes(): string;
  set sizes(value: Reflected);
  get alt(): string;
  set alt(value: Reflected);
  get loading(): string;
  set loading(value: Reflected);
  get width(): string;
  set width(value: Reflected);
  get height(): string;
  set height(value: Reflected);
}

declare global {
  interface HTMLElementTagNameMap {
    "thumb-stream": ThumbStream;
  }
}
