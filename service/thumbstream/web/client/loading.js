/**
 * What an element loads: previews, ever sharper as bytes arrive, and the picture itself beside them.
 */

import { averageColor } from "./colour.js";
import { isForeign } from "./decode.js";
import { prefixes } from "./fetch.js";
import { aspectRatio } from "./index.js";
import { decodeInBackground, inTurn, prepare } from "./pool.js";
import { bytesOf } from "./text.js";

const BYTES = { "slow-2g": 16, "2g": 32, "3g": 64 }; // by navigator.connection.effectiveType
const SAVING_BYTES = 16; // the visitor asks for less data
const USUAL_BYTES = 128;

/** What the attribute `stream` holds. */
export const inlined = (host) => bytesOf(atob(host.stream));

/**
 * Resolves when the last picture that was asked for is there.
 *
 * @param {import("./element.js").ThumbStream} host
 * @param {import("./layers.js").Layers} layers
 * @param {AbortController} loading
 */
export async function load(host, layers, loading) {
  const previews = showPreviews(host, layers, loading.signal);
  if (host.full || host.srcset) {
    previews.catch(() => {});
    layers.show(await pictureOf(host, loading.signal));
    loading.abort();
  } else {
    layers.dropPicture();
    await previews;
  }
}

async function showPreviews(host, layers, signal) {
  const { decoder } = host;
  let newest, failure;
  let painting = Promise.resolve();
  const catchUp = async () => {
    while (newest.length > layers.shown) {
      const stream = newest;
      const picture = await decodeInBackground(stream, { decoder, signal });
      signal.throwIfAborted();
      layers.paint(picture, stream.length);
      host.dispatchEvent(new Event("preview"));
    }
  };
  if (!decoder) prepare();
  try {
    for await (newest of streams(host, signal)) {
      if (!layers.shown) {
        layers.ratio = aspectRatio(newest);
        layers.layOut(host);
      }
      painting = painting.then(catchUp);
      painting.catch(() => {}); // it is awaited below
      if (decoder && isForeign(newest)) continue;
      // The shape at once, the colour as soon as those before it have theirs.
      await inTurn(() => {
        if (!layers.shown && !signal.aborted) layers.tint(averageColor(newest));
      });
    }
  } catch (error) {
    failure = error;
  }
  await painting;
  if (failure && (signal.aborted || !layers.shown)) throw failure; // else a prefix is a picture
}

/** Prefixes that are there, and then those that come. */
function streams(host, signal) {
  const start = inlined(host);
  const { saveData, effectiveType } = navigator.connection ?? {};
  const bytes = host.bytes === "all" ? Infinity
    : +host.bytes || (saveData ? SAVING_BYTES : (BYTES[effectiveType] ?? USUAL_BYTES));
  return host.src ? prefixes(host.src, { bytes, start, signal }) : start.length ? [start] : [];
}

/** The picture itself, decoded. It is asked for no longer when the signal says so. */
async function pictureOf(host, signal) {
  const image = new Image();
  const stop = () => (image.src = image.srcset = "");
  signal.addEventListener("abort", stop);
  image.part = "full";
  image.alt = "";
  for (const name of ["sizes", "srcset"]) if (host[name]) image[name] = host[name];
  if (host.full) image.src = host.full;
  await image.decode();
  signal.throwIfAborted();
  signal.removeEventListener("abort", stop);
  return image;
}
