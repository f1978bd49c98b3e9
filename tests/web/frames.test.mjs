import assert from "node:assert/strict";
import { test } from "node:test";

import { Frames } from "../../service/thumbstream/web/frames.js";

/** A service that answers when it is told to, and writes down what is asked and shown. */
function stage() {
  const asked = new Map();
  const log = { asked: [], shown: [], aborted: [], errors: [] };
  const load = (bytes, signal) =>
    new Promise((resolve, reject) => {
      log.asked.push(bytes);
      asked.set(bytes, { resolve, reject });
      signal.addEventListener("abort", () => {
        log.aborted.push(bytes);
        reject(signal.reason);
      });
    });
  const frames = new Frames(
    load,
    (bytes, frame) => log.shown.push([bytes, frame]),
    (error) => log.errors.push(error.message),
  );
  const turn = () => new Promise((done) => setImmediate(done));
  const answer = async (bytes) => {
    asked.get(bytes).resolve(`frame ${bytes}`);
    await turn();
  };
  const refuse = async (bytes) => {
    asked.get(bytes).reject(new Error(`no ${bytes}`));
    await turn();
  };
  return { frames, log, answer, refuse, turn };
}

test("a frame is asked for once", async () => {
  const { frames, log, answer } = stage();
  frames.want(64);
  await answer(64);
  frames.want(32);
  await answer(32);
  frames.want(64);
  assert.deepEqual(log.asked, [64, 32]);
  assert.deepEqual(log.shown, [[64, "frame 64"], [32, "frame 32"], [64, "frame 64"]]);
  assert.ok(frames.has(64) && !frames.has(65));
});

test("while the slider moves, two requests run and only the latest wish waits", async () => {
  const { frames, log, answer } = stage();
  for (let bytes = 1; bytes <= 50; bytes++) frames.want(bytes);
  assert.deepEqual(log.asked, [1, 2]);
  await answer(1);
  assert.deepEqual(log.asked, [1, 2, 50]);
});

test("the nearest frame at hand is shown under its own number", async () => {
  const { frames, log, answer } = stage();
  frames.want(10);
  frames.want(40);
  frames.want(48);
  await answer(40);
  await answer(10); // farther from 48 than what is seen: not shown
  await answer(48);
  assert.deepEqual(log.shown.map(([bytes]) => bytes), [40, 48]);
});

test("at rest, requests for other places are cancelled", async () => {
  const { frames, log, turn, answer } = stage();
  frames.want(10);
  frames.want(20);
  frames.want(30);
  frames.settle();
  await turn();
  assert.deepEqual(log.aborted, [10, 20]);
  assert.deepEqual(log.asked, [10, 20, 30]);
  await answer(30);
  assert.deepEqual(log.shown.map(([bytes]) => bytes), [30]);
  assert.deepEqual(log.errors, []);
});

test("wishes go before prefetching, which fills the free place", async () => {
  const { frames, log, answer } = stage();
  frames.prefetch([16, 24, 32, 64]);
  assert.deepEqual(log.asked, [16, 24]);
  frames.want(99);
  await answer(16);
  await answer(24);
  assert.deepEqual(log.asked, [16, 24, 99, 32]);
  assert.deepEqual(log.shown.map(([bytes]) => bytes), [16, 24]);
});

test("an error of a wish is told once, and asked again only by a new wish", async () => {
  const { frames, log, refuse, answer } = stage();
  frames.want(64);
  await refuse(64);
  assert.deepEqual(log.errors, ["no 64"]);
  assert.deepEqual(log.asked, [64]);
  frames.want(64);
  await answer(64);
  assert.deepEqual(log.asked, [64, 64]);
  assert.deepEqual(log.shown.map(([bytes]) => bytes), [64]);
});

test("an error while prefetching ends the prefetching in silence", async () => {
  const { frames, log, refuse } = stage();
  frames.prefetch([1, 2, 3, 4, 5]);
  await refuse(1);
  await refuse(2);
  assert.deepEqual(log.asked, [1, 2]);
  assert.deepEqual(log.errors, []);
});

test("a closed stream shows nothing more", async () => {
  const { frames, log, turn } = stage();
  frames.want(8);
  frames.close();
  await turn();
  frames.prefetch([1]);
  assert.deepEqual(log.aborted, [8]);
  assert.deepEqual(log.asked, [8]);
  assert.deepEqual([log.shown, log.errors], [[], []]);
});
