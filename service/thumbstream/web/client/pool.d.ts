import type { DecodeOptions, Picture } from "./index.js";

/**
 * As `decode`, away from the page's thread: in one worker, which all pictures of the page share.
 * Where it cannot be had, the page's thread does it, one picture at a time.
 */
export function decodeInBackground(stream: Uint8Array, options?: DecodeOptions): Promise<Picture>;
