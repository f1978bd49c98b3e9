/** `<thumb-stream>`: an image that is shown from its first bytes on. Importing this defines it. */

export * from "./index.js";
export { prefixes } from "./fetch.js";
export { decodeInBackground } from "./background.js";

/** Attributes as properties: strings, empty if the attribute is missing; null removes it. */
type Reflected = string | number | null | undefined;

/** The attributes of `<thumb-stream>`, for the types of templates. */
export interface ThumbStreamAttributes {
  /** Address of the stream: `/thumb/{id}` of the service, or a file of any server. */
  src?: string;
  /** The first bytes of the stream, or all of them, in base64. They are shown without a request. */
  stream?: string;
  /** Length of the prefix to fetch, or `all`. By default 16 to 128, depending on the connection. */
  bytes?: number | "all" | (string & {});
  /** Address of a service's `/decode`, for streams of models without weights for browsers. */
  decoder?: string;
  /** Address of the picture, which replaces the preview. */
  full?: string;
  /** As for `<img>`, with `full`. */
  srcset?: string;
  /** As for `<img>`, with `srcset`. */
  sizes?: string;
  /** As for `<img>`. Empty for decoration, which screen readers skip. */
  alt?: string;
  /** `lazy` waits until the element is near the screen. */
  loading?: "eager" | "lazy" | (string & {});
  /** CSS pixels; together with `height`, also the aspect ratio. */
  width?: number | string;
  /** CSS pixels. */
  height?: number | string;
}

/**
 * Events: `preview` when a preview is painted, the first one or a sharper one; `load` when the last
 * requested picture is shown; `error`, an `ErrorEvent` with the `error`, if there is no picture, or if
 * `full` fails. CSS: `::part(preview)`, `::part(full)`; `object-fit` and `object-position` as for
 * `<img>`.
 */
export class ThumbStream extends HTMLElement {
  /** Whether loading has ended. */
  readonly complete: boolean;
  /** Width of the picture, or else of the preview, in pixels; 0 if there is neither. */
  readonly naturalWidth: number;
  /** Height of the picture, or else of the preview, in pixels; 0 if there is neither. */
  readonly naturalHeight: number;
  /** Resolves at `load`; rejects with an `EncodingError` at `error`. */
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
