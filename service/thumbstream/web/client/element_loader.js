/** Loads what an element shows: previews that sharpen as bytes arrive, and the picture in parallel. */

import { averageColor } from "./average_color.js";
import { decodeInBackground, inQueue, startWorker } from "./background.js";
import { streamBytes } from "./bytes.js";
import { needsService } from "./decode.js";
import { prefixes } from "./fetch.js";
import { aspectRatio } from "./index.js";

const BYTES = { "slow-2g": 16, "2g": 32, "3g": 64 }; // by navigator.connection.effectiveType
const SAVE_DATA_BYTES = 16;
const DEFAULT_BYTES = 128;

/**
 * Resolves when the last requested picture is shown.
 *
 * @param {import("./element.js").ThumbStream} host
 * @param {import("./element_view.js").ElementView} view
 * @param {AbortController} controller
 */
export async function loadElement(host, view, controller) {
  const previews = showPreviews(host, view, controller.signal);
  if (host.full || host.srcset) {
    previews.catch(() => {});
    view.showPicture(await loadPicture(host, controller.signal));
    controller.abort();
  } else {
    view.removePicture();
    await previews;
  }
}

async function showPreviews(host, view, signal) {
  const { decoder } = host;
  let newest, failure;
  let painting = Promise.resolve();
  const paintNewest = async () => {
    while (newest.length > view.paintedBytes) {
      const stream = newest;
      const picture = await decodeInBackground(stream, { decoder, signal });
      signal.throwIfAborted();
      view.paint(picture, stream.length);
      host.dispatchEvent(new Event("preview"));
    }
  };
  if (!decoder) startWorker();
  try {
    for await (newest of elementPrefixes(host, signal)) {
      if (!view.paintedBytes) {
        view.streamRatio = aspectRatio(newest);
        view.layOut(host);
      }
      painting = painting.then(paintNewest);
      painting.catch(() => {}); // it is awaited below
      if (decoder && needsService(newest)) continue;
      await inQueue(() => {
        if (!view.paintedBytes && !signal.aborted) view.fillColor(averageColor(newest));
      });
    }
  } catch (error) {
    failure = error;
  }
  await painting;
  if (failure && (signal.aborted || !view.paintedBytes)) throw failure; // else a prefix is shown
}

/** The inlined prefix, then those that are fetched. */
function elementPrefixes(host, signal) {
  const start = streamBytes(host.stream);
  const { saveData, effectiveType } = navigator.connection ?? {};
  const bytes = host.bytes === "all" ? Infinity
    : +host.bytes || (saveData ? SAVE_DATA_BYTES : (BYTES[effectiveType] ?? DEFAULT_BYTES));
  return host.src ? prefixes(host.src, { bytes, start, signal }) : start.length ? [start] : [];
}

/** The decoded picture. An abort of the signal stops its request. */
async function loadPicture(host, signal) {
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
