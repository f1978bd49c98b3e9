import type { DecodeOptions, Picture, Stream } from "./index.cjs";

/**
 * As `decode`, away from the page's thread: in a worker that all pictures of the page share. If
 * there are no workers, the page's thread decodes one picture at a time.
 */
export function decodeInBackground(stream: Stream, options?: DecodeOptions): Promise<Picture>;
