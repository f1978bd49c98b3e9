import assert from "node:assert/strict";
import { test } from "node:test";

import { Frames } from "../../service/thumbstream/web/frames.js";

/** Frames with loads that the test settles, and a log of what is loaded and shown. */
function setUp() {
  const pending = new Map();
  const log = { loaded: [], shown: [], aborted: [], errors: [] };
  const load = (bytes, signal) =>
    new Promise((resolve, reject) => {
      log.loaded.push(bytes);
      pending.set(bytes, { resolve, reject });
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
  const succeed = async (bytes) => {
    pending.get(bytes).resolve(`frame ${bytes}`);
    await turn();
  };
  const fail = async (bytes) => {
    pending.get(bytes).reject(new Error(`no ${bytes}`));
    await turn();
  };
  return { frames, log, succeed, fail, turn };
}

test("loads each frame once", async () => {
  const { frames, log, succeed } = setUp();
  frames.request(64);
  await succeed(64);
  frames.request(32);
  await succeed(32);
  frames.request(64);
  assert.deepEqual(log.loaded, [64, 32]);
  assert.deepEqual(log.shown, [[64, "frame 64"], [32, "frame 32"], [64, "frame 64"]]);
  assert.ok(frames.has(64) && !frames.has(65));
});

test("runs two loads, and queues the latest request only", async () => {
  const { frames, log, succeed } = setUp();
  for (let bytes = 1; bytes <= 50; bytes++) frames.request(bytes);
  assert.deepEqual(log.loaded, [1, 2]);
  await succeed(1);
  assert.deepEqual(log.loaded, [1, 2, 50]);
});

test("shows the nearest loaded frame with its own byte count", async () => {
  const { frames, log, succeed } = setUp();
  frames.request(10);
  frames.request(40);
  frames.request(48);
  await succeed(40);
  await succeed(10); // farther from 48 than the shown frame
  await succeed(48);
  assert.deepEqual(log.shown.map(([bytes]) => bytes), [40, 48]);
});

test("cancels the loads of other frames", async () => {
  const { frames, log, turn, succeed } = setUp();
  frames.request(10);
  frames.request(20);
  frames.request(30);
  frames.cancelOthers();
  await turn();
  assert.deepEqual(log.aborted, [10, 20]);
  assert.deepEqual(log.loaded, [10, 20, 30]);
  await succeed(30);
  assert.deepEqual(log.shown.map(([bytes]) => bytes), [30]);
  assert.deepEqual(log.errors, []);
});

test("requests have priority over prefetching", async () => {
  const { frames, log, succeed } = setUp();
  frames.prefetch([16, 24, 32, 64]);
  assert.deepEqual(log.loaded, [16, 24]);
  frames.request(99);
  await succeed(16);
  await succeed(24);
  assert.deepEqual(log.loaded, [16, 24, 99, 32]);
  assert.deepEqual(log.shown.map(([bytes]) => bytes), [16, 24]);
});

test("reports the error of a request once, and retries for a new request only", async () => {
  const { frames, log, fail, succeed } = setUp();
  frames.request(64);
  await fail(64);
  assert.deepEqual(log.errors, ["no 64"]);
  assert.deepEqual(log.loaded, [64]);
  frames.request(64);
  await succeed(64);
  assert.deepEqual(log.loaded, [64, 64]);
  assert.deepEqual(log.shown.map(([bytes]) => bytes), [64]);
});

test("an error stops prefetching without a report", async () => {
  const { frames, log, fail } = setUp();
  frames.prefetch([1, 2, 3, 4, 5]);
  await fail(1);
  await fail(2);
  assert.deepEqual(log.loaded, [1, 2]);
  assert.deepEqual(log.errors, []);
});

test("shows nothing after close()", async () => {
  const { frames, log, turn } = setUp();
  frames.request(8);
  frames.close();
  await turn();
  frames.prefetch([1]);
  assert.deepEqual(log.aborted, [8]);
  assert.deepEqual(log.loaded, [8]);
  assert.deepEqual([log.shown, log.errors], [[], []]);
});
