/** The gallery: files, parallel uploads, budgets, the simulated link, texts. */

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { distribute, equalShares } from "../../service/thumbstream/web/gallery_budget.js";
import { budgetText, failureLines, format } from "../../service/thumbstream/web/gallery_figures.js";
import { MAX_PICTURES, filesOf, isPicture, picturesOf } from "../../service/thumbstream/web/gallery_files.js";
import { arrivals, transmit } from "../../service/thumbstream/web/gallery_network.js";
import { forEach } from "../../service/thumbstream/web/gallery_pool.js";
import { mean } from "../../service/thumbstream/web/gallery_show.js";

const usualFetch = globalThis.fetch;
const { signal } = new AbortController();
const STREAMS = [{ id: "a", length: 100 }, { id: "b", length: 10 }];

afterEach(() => (globalThis.fetch = usualFetch));

const file = (name, type = "image/png") => ({ name, type });

const folder = (...entries) => {
  const parts = [entries, []];
  return { isFile: false, createReader: () => ({ readEntries: (done) => done(parts.shift()) }) };
};
const entry = (name) => ({ isFile: true, file: (done) => done(file(name)) });

test("selects pictures by type or name, sorted by the numbers in names", () => {
  assert.ok(isPicture(file("x", "image/avif")));
  assert.ok(isPicture(file("x.TIFF", "")));
  assert.ok(!isPicture(file("x.png", "text/plain")));
  assert.ok(!isPicture(file(".DS_Store", "")));
  const names = picturesOf(["p10.png", "notes", "p9.png"].map((name) =>
    file(name, name === "notes" ? "" : "image/png"))).map(({ name }) => name);
  assert.deepEqual(names, ["p9.png", "p10.png"]);
  assert.equal(picturesOf(Array.from({ length: MAX_PICTURES + 5 }, (_, i) => file(`${i}`))).length, MAX_PICTURES);
});

test("reads nested folders, and skips unreadable files", async () => {
  const broken = { isFile: true, file: (_done, fail) => fail(new Error("gone")) };
  const files = await filesOf(folder(entry("a"), folder(entry("b"), broken), entry("c")));
  assert.deepEqual(files.map(({ name }) => name), ["a", "b", "c"]);
});

test("runs at most the limit in parallel, and continues after a failure", async () => {
  let running = 0;
  let peak = 0;
  const done = [];
  const failures = await forEach([1, 2, 3, 4, 5, 6], 2, async (item) => {
    peak = Math.max(peak, ++running);
    await new Promise((go) => setTimeout(go, 2));
    running -= 1;
    if (item % 3 === 0) throw new Error(`no ${item}`);
    done.push(item);
  });
  assert.equal(peak, 2);
  assert.deepEqual(done, [1, 2, 4, 5]);
  assert.deepEqual(failures.map(({ item, error }) => [item, error.message]),
    [[3, "no 3"], [6, "no 6"]]);
});

test("starts nothing after an abort", async () => {
  const controller = new AbortController();
  const started = [];
  await forEach([1, 2, 3], 1, async (item) => {
    started.push(item);
    controller.abort();
  }, controller.signal);
  assert.deepEqual(started, [1]);
});

test("a link of 50 kbit/s takes 16 ms for 100 bytes, an unlimited link no time", () => {
  assert.deepEqual(arrivals([100, 0, 50], 50), [16, 16, 24]);
  assert.deepEqual(arrivals([100, 50], Infinity), [0, 0]);
});

test("items arrive in order and not too early", async () => {
  const start = performance.now();
  const arrived = [];
  await transmit([25, 25, 50], 20, (index) => arrived.push([index, performance.now() - start]), signal);
  assert.deepEqual(arrived.map(([index]) => index), [0, 1, 2]);
  for (const [i, earliest] of [10, 20, 40].entries()) assert.ok(arrived[i][1] >= earliest);
});

test("an unlimited link delivers at once; no items end at once", async () => {
  const arrived = [];
  const sent = transmit([9, 9], Infinity, (index) => arrived.push(index), signal);
  assert.deepEqual(arrived, [0, 1]);
  await sent;
  await transmit([], 50, () => assert.fail(), signal);
});

test("an aborted transmission delivers nothing more", async () => {
  const controller = new AbortController();
  const sent = transmit([1, 1e6], 50, () => {}, controller.signal);
  controller.abort();
  await assert.rejects(sent, { name: "AbortError" });
  await assert.rejects(transmit([1], 50, () => assert.fail(), controller.signal),
    { name: "AbortError" });
});

test("equal shares are at most the length of a stream", () => {
  assert.deepEqual([...equalShares(STREAMS, 65)], [["a", 32], ["b", 10]]);
  assert.deepEqual([...equalShares([], 65)], []);
});

test("follows the plan of the service", async () => {
  const requests = [];
  globalThis.fetch = async (url, { method, body }) => {
    requests.push([url, method, JSON.parse(body)]);
    return Response.json({ thumbs: { a: { bytes: 55 }, b: { bytes: 9 } } });
  };
  const { bytes, planned } = await distribute(STREAMS, 64, signal);
  assert.deepEqual([...bytes], [["a", 55], ["b", 9]]);
  assert.ok(planned);
  assert.deepEqual(requests, [["/budget", "POST", { ids: ["a", "b"], total_bytes: 64 }]]);
});

test("does not ask for streams that are not stored", async () => {
  globalThis.fetch = () => assert.fail();
  const streams = [{ ...STREAMS[0], isStored: false }, STREAMS[1]];
  const { bytes, planned } = await distribute(streams, 65, signal);
  assert.deepEqual([...bytes], [["a", 32], ["b", 10]]);
  assert.ok(!planned);
});

test("uses equal shares without curves and after an error", async () => {
  for (const answer of [
    async () => Response.json({ thumbs: { a: { bytes: 64 } }, without_curve: ["b"] }),
    async () => new Response("{}", { status: 503 }),
    async () => new Response("no JSON"),
    async () => {
      throw new TypeError("no network");
    },
  ]) {
    globalThis.fetch = answer;
    const { bytes, planned } = await distribute(STREAMS, 64, signal);
    assert.deepEqual([...bytes], [["a", 32], ["b", 10]]);
    assert.ok(!planned);
  }
});

test("an abort is not an error of the plan", async () => {
  const controller = new AbortController();
  globalThis.fetch = async () => {
    controller.abort();
    throw controller.signal.reason;
  };
  await assert.rejects(distribute(STREAMS, 64, controller.signal), { name: "AbortError" });
});

test("formats figures with units, and unknown ones as a dash", () => {
  assert.equal(format("bytes", 3840), "3,840");
  assert.equal(format("first", 12.4), "12 ms");
  assert.equal(format("all", 1534), "1.5 s");
  assert.equal(format("ssim", 0.7), "0.700");
  assert.equal(format("ssim", null), "\u2013");
  assert.equal(budgetText(64, 60), "64 B per picture, 3,840 B in total");
  assert.equal(mean([0.5, 0.7, 0]), 1.2 / 3);
  assert.equal(mean([]), null);
});

test("lists failures with reasons, and counts the rest", () => {
  const failure = (name, detail) => ({ item: { name }, error: { detail, title: "Title", status: 400 } });
  assert.deepEqual(failureLines([failure("a", "broken"), failure("b", "")]),
    ["a: The service rejected the request: broken.", "b: The service rejected the request: Title."]);
  const many = Array.from({ length: 6 }, (_, i) => failure(`${i}`, "broken"));
  assert.equal(failureLines(many).at(-1), "and 2 more");
});
