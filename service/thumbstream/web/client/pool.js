/**
 * Decoding away from the page's thread: one worker for the whole page, which has the weights.
 *
 * Where module workers are missing or a content security policy refuses them, the page's own thread
 * decodes, a few milliseconds at a time, and does other things in between. It also tries what the
 * worker could not do: whoever asked is told what is wrong by an error of this thread's classes.
 */

import { decode, isForeign } from "./decode.js";

const SLICE = 8; // ms: how long the page's own thread is kept busy at a stretch

let worker; // 0: cannot be had
let turn = Promise.resolve();
let ready; // of this thread's decoder
let since = 0; // when the page's thread last had time for others
let count = 0;

/** What waits for the worker, by number: it is given the picture, or nothing. */
const waiting = new Map();

/** @type {import("./pool.js").decodeInBackground} */
export async function decodeInBackground(stream, options) {
  if (isForeign(stream)) return decode(stream, options); // a service does it, or it is an error
  if (!prepare()) return here(stream);
  const copy = stream.slice(); // of these bytes alone, which may lie in a large buffer
  return new Promise((done) => {
    waiting.set(++count, (picture) => done(picture ?? here(copy)));
    worker.postMessage([count, copy]);
  });
}

/** The worker, if it can be had: it starts, and fetches the weights, while streams still travel. */
export const prepare = () => (worker ??= start());

function start() {
  const home = import.meta.url;
  try {
    // Written out, so that bundlers see it. A worker of another origin begins as one of this page.
    const made = home.startsWith(`${location.origin}/`)
      ? new Worker(new URL("./worker.js", import.meta.url), { type: "module" })
      : new Worker(importing(new URL("worker.js", home).href), { type: "module" });
    made.onmessage = ({ data }) => settle(...data);
    made.onerror = giveUp;
    return made;
  } catch {
    return 0;
  }
}

const importing = (href) =>
  URL.createObjectURL(new Blob([`import ${JSON.stringify(href)}`], { type: "text/javascript" }));

function settle(number, picture) {
  waiting.get(number)?.(picture);
  waiting.delete(number);
}

/** The worker did not start: what it was asked is done here, and so is all that follows. */
function giveUp(event) {
  event.preventDefault();
  worker = 0;
  for (const number of waiting.keys()) settle(number);
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
