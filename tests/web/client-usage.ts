/** How TypeScript code uses the client: the compiler checks it, nothing runs it. */

import {
  BitstreamError, ResponseError, WeightsError, aspectRatio, averageColor, decode, fetchThumb,
  fetchThumbs, load, toDataURL,
} from "../../service/thumbstream/web/client/index.js";
import type { Decoder, LoadOptions, Picture } from "../../service/thumbstream/web/client/index.js";
import { png, pngDataURL } from "../../service/thumbstream/web/client/png.js";

export async function show(stream: Uint8Array, context: CanvasRenderingContext2D): Promise<string> {
  const style: Partial<CSSStyleDeclaration> = {
    aspectRatio: String(aspectRatio(stream)),
    backgroundColor: averageColor(stream),
  };
  const { width, height, data }: Picture = await decode(stream);
  context.putImageData(new ImageData(data, width, height), 0, 0);
  return `${style.backgroundColor} ${await toDataURL(stream)}`;
}

export async function fetched(url: URL, ids: string[], signal: AbortSignal): Promise<number> {
  try {
    const all: Map<string, Uint8Array> = await fetchThumbs(ids, 4096, { signal });
    return all.size + (await fetchThumb(url, { bytes: 64, signal })).length;
  } catch (error) {
    return error instanceof ResponseError ? error.status : 0;
  }
}

export async function many(streams: Uint8Array[], signal: AbortSignal): Promise<number> {
  const options: LoadOptions = { url: new URL("https://example.com/client.bin"), signal, wasm: false };
  const decoder: Decoder = await load(options);
  try {
    const files: Uint8Array[] = streams.map((stream) => png(decoder.decode(stream)));
    const urls: string[] = streams.map((stream) => pngDataURL(decoder.decode(stream)));
    return files.length + urls.length + decoder.symbols(streams[0]!).latents[0]!.states.length;
  } catch (error) {
    if (error instanceof BitstreamError || error instanceof WeightsError) return 0;
    throw error;
  }
}

averageColor("fv6g4exPT4F3r5f7");
// @ts-expect-error a stream is a Uint8Array or base64
averageColor(new Int8Array(3));
// @ts-expect-error a decoder cannot be changed
load().then((decoder) => (decoder.modelId = "another"));
