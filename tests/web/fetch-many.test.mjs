/** Many streams in few requests: equal bytes, planned budgets, and the cache. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { fetchThumb, fetchThumbs } from "../../service/thumbstream/web/client/fetch.js";
import { STREAM, ranges, serving } from "./fetch-server.mjs";

const batch = (...streams) =>
  Buffer.concat(streams.flatMap((s) => [Buffer.from([s.length >> 8, s.length & 255]), s]));
const first = (count) => STREAM.slice(0, count);

/** Responds with a batch of prefixes as the query says. */
function batches(request, response) {
  const query = new URL(request.url, "http://host").searchParams;
  const streams = query.get("ids").split(",").map((entry) => {
    const [id, count] = entry.split(":");
    return id === "unknown" ? first(0) : first(Number(count ?? query.get("bytes") ?? STREAM.length));
  });
  response.end(batch(...streams));
}

test("requests the same bytes of each id, 64 ids at a time", async () => {
  await serving(batches, async (at, requests) => {
    const ids = Array.from({ length: 65 }, (_, i) => `id${i}`);
    const thumbs = await fetchThumbs([...ids, "id0"], { bytes: 24 }, { base: at("/") });
    assert.deepEqual([...thumbs.keys()].sort(), ids.toSorted());
    for (const stream of thumbs.values()) assert.deepEqual(stream, first(24));
    assert.deepEqual(
      requests.map(({ line }) => line).sort(),
      [`GET /thumbs?ids=${ids.slice(0, 64)}&bytes=24`, "GET /thumbs?ids=id64&bytes=24"],
    );
  });
});

test("without a number fetches complete streams; unknown ids are missing", async () => {
  await serving(batches, async (at, requests) => {
    const thumbs = await fetchThumbs(["a", "unknown", "b"], {}, { base: at("/") });
    assert.deepEqual([...thumbs], [["a", STREAM], ["b", STREAM]]);
    assert.equal(requests[0].line, "GET /thumbs?ids=a,unknown,b");
  });
});

test("the service distributes a budget", async () => {
  const planning = (request, response, body) => {
    if (request.method === "GET") return batches(request, response);
    const { ids, total_bytes: total } = JSON.parse(body);
    const urls = [`/thumbs?ids=${ids[0]}:${total - 10},${ids[1]}:10`];
    return response.end(JSON.stringify({ urls, without_curve: [] }));
  };
  await serving(planning, async (at, requests) => {
    const thumbs = await fetchThumbs(["a", "b"], 50, { base: at("/below/") });
    assert.deepEqual([...thumbs], [["a", first(40)], ["b", first(10)]]);
    assert.deepEqual(requests, [
      { line: "POST /below/budget", range: undefined, body: '{"ids":["a","b"],"total_bytes":50}' },
      { line: "GET /below/thumbs?ids=a:40,b:10", range: undefined, body: "" },
    ]);
  });
});

test("without a curve of every stream, all get the same bytes", async () => {
  const planning = (request, response) => {
    if (request.method === "GET") return batches(request, response);
    return response.end(JSON.stringify({ urls: ["/thumbs?ids=a:50"], without_curve: ["b"] }));
  };
  await serving(planning, async (at) => {
    const thumbs = await fetchThumbs(["a", "b", "c"], 50, { base: at("/") });
    assert.deepEqual([...thumbs], [["a", first(16)], ["b", first(16)], ["c", first(16)]]);
    assert.equal((await fetchThumbs(["a", "b", "c"], 2, { base: at("/") })).size, 0);
  });
});

test("sends no request without ids or bytes", async () => {
  await serving(batches, async (at, requests) => {
    assert.equal((await fetchThumbs([], { bytes: 16 }, { base: at("/") })).size, 0);
    assert.equal((await fetchThumbs([], 100, { base: at("/") })).size, 0);
    assert.equal((await fetchThumbs(["a"], 0, { base: at("/") })).size, 0);
    assert.equal((await fetchThumbs(["a"], { bytes: 0 }, { base: at("/") })).size, 0);
    assert.deepEqual(requests, []);
  });
});

test("an interrupted batch counts as far as it arrived", async () => {
  const breaking = (_, response) => {
    response.writeHead(200, { "Content-Length": 100 });
    const body = batch(first(20), first(20)).subarray(0, 30);
    response.write(body, () => setTimeout(() => response.destroy(), 20));
  };
  await serving(breaking, async (at) => {
    const thumbs = await fetchThumbs(["a", "b", "c"], { bytes: 20 }, { base: at("/") });
    assert.deepEqual([...thumbs], [["a", first(20)], ["b", first(6)]]);
  });
});

test("fetchThumb uses the streams of a batch", async () => {
  const either = (request, response) =>
    (request.url.startsWith("/thumbs") ? batches : ranges())(request, response);
  await serving(either, async (at, requests) => {
    await fetchThumbs(["a"], { bytes: 24 }, { base: at("/") });
    assert.deepEqual(await fetchThumb(at("/thumb/a"), { bytes: 24 }), first(24));
    assert.deepEqual(await fetchThumb(at("/thumb/a"), { bytes: 64 }), first(64));
    assert.deepEqual(requests.slice(1).map(({ range }) => range), ["bytes=24-63"]);
  });
});

test("error statuses, other documents and aborts are errors", async () => {
  const refuse = (_, response) => response.writeHead(400).end("{}");
  await serving(refuse, async (at) => {
    const refused = { name: "ResponseError", status: 400 };
    await assert.rejects(fetchThumbs(["a"], { bytes: 1 }, { base: at("/") }), refused);
    await assert.rejects(fetchThumbs(["a"], 10, { base: at("/") }), refused);
    const signal = AbortSignal.abort();
    const aborted = fetchThumbs(["a"], { bytes: 1 }, { base: at("/"), signal });
    await assert.rejects(aborted, { name: "AbortError" });
  });
});

test("an HTML page instead of a plan or a batch is a ResponseError", async () => {
  const page = (_, response) =>
    response.writeHead(200, { "Content-Type": "text/html" }).end("<!doctype html>");
  await serving(page, async (at) => {
    for (const budget of [{ bytes: 1 }, 10]) {
      await assert.rejects(fetchThumbs(["a"], budget, { base: at("/") }), {
        name: "ResponseError", message: /got status 200, text\/html/,
      });
    }
  });
});
