/// <reference path="./pictures.d.ts" />
/**
 * Previews for the `<img data-thumb>` of a page. Importing this shows them, now and later.
 *
 * `data-thumb`: the first bytes of a stream in base64. `data-thumb-src`: the address of a stream.
 * `data-thumb-bytes`: how many bytes to show, or `all`. Images dispatch `preview` when a preview is
 * painted, the first one or a sharper one, and `previewerror` if there is none.
 */

/** Show previews in a shadow root, too. */
export function watch(root?: Document | ShadowRoot): void;

/**
 * Fetch the weights now, and sharpen the previews on the page and later ones. Without this call they
 * are fetched when the page is idle and its pictures are loaded, and not at all if the visitor saves
 * data or has a connection of the second generation.
 */
export function sharpen(): Promise<void>;

/** Whether a preview of the image is painted. */
export function hasPreview(image: HTMLImageElement): boolean;

declare global {
  interface HTMLElementEventMap {
    preview: Event;
    previewerror: ErrorEvent;
  }
}
