/** The gallery's logic: which files, how many at once, who gets which bytes, and where they go. */

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { equalShares, split } from "../../service/thumbstream/web/gallery_budget.js";
import { budgetText, failureLines, written } from "../../service/thumbstream/web/gallery_figures.js";
import { MOST, filesOf, isPicture, picturesOf } from "../../service/thumbstream/web/gallery_files.js";
import { columnsFor, shortest } from "../../service/thumbstream/web/gallery_masonry.js";
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

test("pictures are taken by type or else by name, in the order of their numbers", () => {
  assert.ok(isPicture(file("x", "image/avif")));
  assert.ok(isPicture(file("x.TIFF", "")));
  assert.ok(!isPicture(file("x.png", "text/plain")));
  assert.ok(!isPicture(file(".DS_Store", "")));
  const names = picturesOf(["p10.png", "notes", "p9.png"].map((name) =>
    file(name, name === "notes" ? "" : "image/png"))).map(({ name }) => name);
  assert.deepEqual(names, ["p9.png", "p10.png"]);
  assert.equal(picturesOf(Array.from({ length: MOST + 5 }, (_, i) => file(`${i}`))).length, MOST);
});

test("a folder brings what is in the folders below; what cannot be read is left out", async () => {
  const broken = { isFile: true, file: (_done, fail) => fail(new Error("gone")) };
  const files = await filesOf(folder(entry("a"), folder(entry("b"), broken), entry("c")));
  assert.deepEqual(files.map(({ name }) => name), ["a", "b", "c"]);
});

test("no more than the limit are at work, and a failure ends nothing but itself", async () => {
  let running = 0;
  let most = 0;
  const done = [];
  const failures = await forEach([1, 2, 3, 4, 5, 6], 2, async (item) => {
    most = Math.max(most, ++running);
    await new Promise((go) => setTimeout(go, 2));
    running -= 1;
    if (item % 3 === 0) throw new Error(`no ${item}`);
    done.push(item);
  });
  assert.equal(most, 2);
  assert.deepEqual(done, [1, 2, 4, 5]);
  assert.deepEqual(failures.map(({ item, error }) => [item, error.message]),
    [[3, "no 3"], [6, "no 6"]]);
});

test("behind an abort nothing is begun", async () => {
  const controller = new AbortController();
  const begun = [];
  await forEach([1, 2, 3], 1, async (item) => {
    begun.push(item);
    controller.abort();
  }, controller.signal);
  assert.deepEqual(begun, [1]);
});

test("a link of 50 kbit/s needs 16 ms for 100 bytes, and one without a limit nothing", () => {
  assert.deepEqual(arrivals([100, 0, 50], 50), [16, 16, 24]);
  assert.deepEqual(arrivals([100, 50], Infinity), [0, 0]);
});

test("things arrive in order, none before its time", async () => {
  const start = performance.now();
  const seen = [];
  await transmit([25, 25, 50], 20, (index) => seen.push([index, performance.now() - start]), signal);
  assert.deepEqual(seen.map(([index]) => index), [0, 1, 2]);
  for (const [i, least] of [10, 20, 40].entries()) assert.ok(seen[i][1] >= least);
});

test("without a limit all is there at once; without anything it ends", async () => {
  const seen = [];
  const sent = transmit([9, 9], Infinity, (index) => seen.push(index), signal);
  assert.deepEqual(seen, [0, 1]);
  await sent;
  await transmit([], 50, () => assert.fail(), signal);
});

test("a transmission that is told to stop brings nothing more", async () => {
  const controller = new AbortController();
  const sent = transmit([1, 1e6], 50, () => {}, controller.signal);
  controller.abort();
  await assert.rejects(sent, { name: "AbortError" });
  await assert.rejects(transmit([1], 50, () => assert.fail(), controller.signal),
    { name: "AbortError" });
});

test("equal shares give no stream more than it has", () => {
  assert.deepEqual([...equalShares(STREAMS, 65)], [["a", 32], ["b", 10]]);
  assert.deepEqual([...equalShares([], 65)], []);
});

test("the service's plan is followed", async () => {
  const asked = [];
  globalThis.fetch = async (url, { method, body }) => {
    asked.push([url, method, JSON.parse(body)]);
    return Response.json({ thumbs: { a: { bytes: 55 }, b: { bytes: 9 } } });
  };
  const { bytes, planned } = await split(STREAMS, 64, signal);
  assert.deepEqual([...bytes], [["a", 55], ["b", 9]]);
  assert.ok(planned);
  assert.deepEqual(asked, [["/budget", "POST", { ids: ["a", "b"], total_bytes: 64 }]]);
});

test("without curves, without an answer and after an error the shares are equal", async () => {
  for (const answer of [
    async () => Response.json({ thumbs: { a: { bytes: 64 } }, without_curve: ["b"] }),
    async () => new Response("{}", { status: 503 }),
    async () => new Response("no JSON"),
    async () => {
      throw new TypeError("no network");
    },
  ]) {
    globalThis.fetch = answer;
    const { bytes, planned } = await split(STREAMS, 64, signal);
    assert.deepEqual([...bytes], [["a", 32], ["b", 10]]);
    assert.ok(!planned);
  }
});

test("a plan that nobody waits for any more is no plan", async () => {
  const controller = new AbortController();
  globalThis.fetch = async () => {
    controller.abort();
    throw controller.signal.reason;
  };
  await assert.rejects(split(STREAMS, 64, controller.signal), { name: "AbortError" });
});

test("a picture goes below the shortest column; a phone has two of them", () => {
  assert.equal(shortest([2, 1, 1]), 1);
  assert.equal(columnsFor(358, false), 2);
  assert.equal(columnsFor(358, true), 1);
  assert.equal(columnsFor(1232, true), 4);
  assert.equal(columnsFor(5000, false), 6);
});

test("figures are written with their units, and unknown ones as a dash", () => {
  assert.equal(written("bytes", 3840), "3,840");
  assert.equal(written("first", 12.4), "12 ms");
  assert.equal(written("all", 1534), "1.5 s");
  assert.equal(written("ssim", 0.7), "0.700");
  assert.equal(written("ssim", null), "\u2013");
  assert.equal(budgetText(64, 60), "64 B a picture, 3,840 B in all");
  assert.equal(mean([0.5, 0.7, 0]), 1.2 / 3);
  assert.equal(mean([]), null);
});

test("failures are named with their reason, and many are counted", () => {
  const failure = (name, detail) => ({ item: { name }, error: { detail, title: "Title" } });
  assert.deepEqual(failureLines([failure("a", "broken"), failure("b", "")]),
    ["a: broken", "b: Title"]);
  const many = Array.from({ length: 6 }, (_, i) => failure(`${i}`, "broken"));
  assert.equal(failureLines(many).at(-1), "and 2 more");
});
