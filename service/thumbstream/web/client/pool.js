/**
 * Decoding away from the page's thread: one worker for the whole page, which has the weights.
 *
 * Where module workers are missing or a content security policy refuses them, the page's own thread
 * decodes, a few milliseconds at a time, and does other things in between.
 */

import { BitstreamError, WeightsError, decode } from "./index.js";

const SLICE = 8; // ms: how long the page's own thread is kept busy at a stretch
const ERRORS = { BitstreamError, WeightsError };

let worker; // null: cannot be had
let turn = Promise.resolve();
let ready; // of this thread's decoder
let since = 0; // when the page's thread last had time for others
let count = 0;

/** Streams that the worker has not answered yet, by number: `{stream, done, fail}`. */
const waiting = new Map();

/** @type {import("./pool.js").decodeInBackground} */
export function decodeInBackground(stream) {
  if (worker === undefined) worker = start();
  if (!worker) return here(stream);
  return new Promise((done, fail) => {
    const copy = stream.slice(); // of these bytes alone, which may lie in a large buffer
    waiting.set(++count, { stream: copy, done, fail });
    worker.postMessage({ number: count, stream: copy });
  });
}

function start() {
  const home = import.meta.url;
  try {
    // Written out, so that bundlers see it. A worker of another origin begins as one of this page.
    const made = new URL(home).origin === location.origin
      ? new Worker(new URL("./worker.js", import.meta.url), { type: "module" })
      : new Worker(importing(new URL("worker.js", home).href), { type: "module" });
    made.onmessage = ({ data }) => settle(data);
    made.onerror = giveUp;
    return made;
  } catch {
    return null;
  }
}

const importing = (href) =>
  URL.createObjectURL(new Blob([`import ${JSON.stringify(href)}`], { type: "text/javascript" }));

function settle({ number, picture, error }) {
  const { done, fail } = waiting.get(number);
  waiting.delete(number);
  if (picture) return done(picture);
  const { name, message } = error;
  fail(Object.assign(new (ERRORS[name] ?? Error)(message), { name }));
}

/** The worker did not start: what it was asked is done here, and so is all that follows. */
function giveUp(event) {
  event.preventDefault();
  worker = null;
  for (const { stream, done, fail } of waiting.values()) here(stream).then(done, fail);
  waiting.clear();
}

/** Behind the weights, for which nobody waits in the line. */
async function here(stream) {
  await (ready ??= decode(stream).catch(() => {})); // what went wrong is told by the next line
  return inTurn(() => decode(stream));
}

/** What `work` returns, done by this thread behind what it was given before, in small slices. */
export function inTurn(work) {
  const done = turn.then(work);
  turn = done.then(rest, rest);
  return done;
}

async function rest() {
  if (performance.now() - since < SLICE) return;
  await (globalThis.scheduler?.yield?.() ?? new Promise((go) => setTimeout(go)));
  since = performance.now();
}
