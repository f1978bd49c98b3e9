/** How TypeScript code uses the element: the compiler checks it, nothing runs it. */

import {
  ResponseError, ThumbStream, decodeInBackground, fetchThumb, fetchThumbs, prefixes,
} from "../../service/thumbstream/web/client/element.js";
import type { ThumbOptions, ThumbStreamAttributes } from "../../service/thumbstream/web/client/element.js";

export async function show(url: string, signal: AbortSignal): Promise<ThumbStream> {
  const element = document.createElement("thumb-stream");
  element.src = url;
  element.bytes = 64;
  element.full = null;
  element.decoder = "https://thumbs.example/decode";
  element.alt = "A lake";
  element.addEventListener("error", (event) => console.error((event as ErrorEvent).error));
  await element.decode();
  const options: ThumbOptions = { bytes: 32, signal };
  for await (const stream of prefixes(url, options)) {
    const { width }: { width: number } = await decodeInBackground(stream, { decoder: element.decoder, signal });
    element.width = width;
  }
  return element.complete ? element : document.querySelector("thumb-stream")!;
}

export async function page(ids: string[]): Promise<number> {
  try {
    const planned: Map<string, Uint8Array> = await fetchThumbs(ids, 4096);
    const equal = await fetchThumbs(ids, { bytes: 32 }, { base: new URL("https://thumbs.example/") });
    return planned.size + equal.size + (await fetchThumb("/thumb/a")).length;
  } catch (error) {
    return error instanceof ResponseError ? error.status : 0;
  }
}

export const attributes: ThumbStreamAttributes = { src: "/thumb/a", bytes: "all", loading: "lazy" };

// @ts-expect-error it is read-only
document.createElement("thumb-stream").naturalWidth = 3;
// @ts-expect-error a budget is needed
fetchThumbs([]);
