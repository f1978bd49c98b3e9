/**
 * Decodes away from the page's thread, in one worker per page.
 *
 * If module workers are missing, or a content security policy blocks them, the page's thread decodes
 * and yields every few milliseconds. It also repeats what failed in the worker, so that errors are of
 * the page's own classes.
 */

import { streamBytes } from "./bytes.js";
import { decode, needsService } from "./decode.js";

export { fetchThumb } from "./fetch.js";

const SLICE = 8; // ms: how long the page's thread works before it yields

let worker; // 0: unavailable
let queue = Promise.resolve();
let loaded; // resolves when this thread has tried to load the weights
let sliceStart = 0;
let count = 0;

/** Callbacks of the requests to the worker, by number; they take the picture, or nothing. */
const pending = new Map();

/** @type {import("./background.js").decodeInBackground} */
export async function decodeInBackground(stream, options) {
  const bytes = streamBytes(stream).slice(); // also not the rest of a large buffer
  if (needsService(bytes)) return decode(bytes, options);
  if (!startWorker()) return decodeOnMainThread(bytes);
  return new Promise((resolve) => {
    pending.set(++count, (picture) => resolve(picture ?? decodeOnMainThread(bytes)));
    worker.postMessage([count, bytes]);
  });
}

/** Start the worker, which fetches the weights; returns it, or 0 where there are no workers. */
export const startWorker = () => (worker ??= createWorker());

function createWorker() {
  try {
    const { protocol, origin, href } = new URL(import.meta.url); // file: in bundles of webpack
    // Literal, for bundlers. A worker of another origin has to start from a blob of this one.
    const created = protocol === "file:" || origin === location.origin
      ? new Worker(new URL("./worker.js", import.meta.url), { type: "module" })
      : new Worker(importing(new URL("worker.js", href).href), { type: "module" });
    created.onmessage = ({ data }) => settle(...data);
    created.onerror = disable;
    return created;
  } catch {
    return 0;
  }
}

const importing = (href) =>
  URL.createObjectURL(new Blob([`import ${JSON.stringify(href)}`], { type: "text/javascript" }));

function settle(number, picture) {
  pending.get(number)?.(picture);
  pending.delete(number);
}

/** The worker did not start: its requests and all later ones are handled on this thread. */
function disable(event) {
  event.preventDefault();
  worker = 0;
  for (const number of pending.keys()) settle(number);
}

/** Waits for the weights outside the queue. */
async function decodeOnMainThread(stream) {
  await (loaded ??= decode(stream).catch(() => {})); // the next line reports the error
  return inQueue(() => decode(stream));
}

/** Run `work` on this thread after the work that was queued before, in short slices. */
export function inQueue(work) {
  const done = queue.then(work);
  queue = done.then(yieldThread, yieldThread);
  return done;
}

async function yieldThread() {
  if (performance.now() - sliceStart < SLICE) return;
  await (globalThis.scheduler?.yield?.() ?? new Promise((resolve) => setTimeout(resolve)));
  sliceStart = performance.now();
}
