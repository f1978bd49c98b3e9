/** Streams over HTTP: growing prefixes, the cache, interrupted and wrong responses. */

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  ResponseError, fetchThumb, prefixes,
} from "../../service/thumbstream/web/client/fetch.js";
import { STREAM, ranges, serving } from "./fetch-server.mjs";

const first = (count) => STREAM.slice(0, count);

async function all(iterator) {
  const got = [];
  for await (const stream of iterator) got.push(stream);
  return got;
}

test("requests only the bytes after the cached ones", async () => {
  await serving(ranges(), async (at, requests) => {
    const url = at("/thumb/a");
    assert.deepEqual(await fetchThumb(url, { bytes: 16 }), first(16));
    assert.deepEqual(await fetchThumb(url, { bytes: 64 }), first(64));
    assert.deepEqual(await fetchThumb(url, { bytes: 32 }), first(32));
    assert.deepEqual(await fetchThumb(url), STREAM);
    assert.deepEqual(await fetchThumb(url, { bytes: 500 }), STREAM);
    assert.deepEqual(
      requests.map(({ range }) => range),
      ["bytes=0-15", "bytes=16-63", "bytes=64-"],
    );
  });
});

test("requests a complete stream without a range", async () => {
  await serving(ranges(), async (at, requests) => {
    assert.deepEqual(await fetchThumb(at("/thumb/a")), STREAM);
    assert.deepEqual(requests, [{ line: "GET /thumb/a", range: undefined, body: "" }]);
  });
});

test("a stream shorter than the range is complete", async () => {
  await serving(ranges(first(20)), async (at, requests) => {
    assert.deepEqual(await fetchThumb(at("/a"), { bytes: 64 }), first(20));
    assert.deepEqual(await fetchThumb(at("/a"), { bytes: 128 }), first(20));
    assert.equal(requests.length, 1);
  });
});

test("status 416 after the last byte marks a stream as complete", async () => {
  await serving(ranges(first(32)), async (at, requests) => {
    for (const bytes of [32, 64, 128]) {
      assert.deepEqual(await fetchThumb(at("/a"), { bytes }), first(32));
    }
    assert.deepEqual(requests.map(({ range }) => range), ["bytes=0-31", "bytes=32-63"]);
  });
});

test("yields the inlined prefix first, and requests the bytes after it", async () => {
  await serving(ranges(), async (at, requests) => {
    const got = await all(prefixes(at("/a"), { start: first(24), bytes: 64 }));
    assert.deepEqual([got[0], got.at(-1)], [first(24), first(64)]);
    assert.equal(requests[0].range, "bytes=24-63");
    assert.deepEqual(await all(prefixes(at("/b"), { start: first(64), bytes: 32 })), [first(32)]);
    assert.equal(requests.length, 1);
  });
});

test("sends the request before it yields the inlined prefix", async () => {
  await serving(ranges(), async (at, requests) => {
    const streams = prefixes(at("/a"), { start: first(16), bytes: 32 });
    assert.deepEqual((await streams.next()).value, first(16));
    while (requests.length === 0) await new Promise((go) => setTimeout(go, 5));
    assert.deepEqual((await streams.next()).value, first(32));
  });
});

test("reads once from a server without ranges, and never yields a shorter prefix", async () => {
  const plain = (_, response) => {
    response.write(STREAM.subarray(0, 10));
    setTimeout(() => response.end(STREAM.subarray(10)), 30);
  };
  await serving(plain, async (at, requests) => {
    const got = await all(prefixes(at("/a"), { start: first(16), bytes: 64 }));
    assert.deepEqual(got, [first(16), first(64)]);
    assert.deepEqual(await fetchThumb(at("/a"), { bytes: 180 }), first(180));
    assert.equal(requests.length, 1);
  });
});

test("yields a longer prefix for each chunk", async () => {
  let response;
  const slow = (_, created) => {
    response = created.writeHead(206, { "Content-Range": "bytes 0-29/200" });
    response.write(STREAM.subarray(0, 10));
  };
  await serving(slow, async (at) => {
    const got = [];
    for await (const stream of prefixes(at("/a"), { bytes: 30 })) {
      got.push(stream);
      if (stream.length < 20) response.write(STREAM.subarray(10, 20));
      else response.end(STREAM.subarray(20, 30));
    }
    assert.deepEqual(got, [first(10), first(20), first(30)]);
  });
});

test("resumes after an interrupted response", async () => {
  let broken = true;
  const breaking = (request, response) => {
    if (!broken) return ranges()(request, response);
    broken = false;
    response.writeHead(206, { "Content-Range": "bytes 0-63/200", "Content-Length": 64 });
    response.write(STREAM.subarray(0, 23), () => setTimeout(() => response.destroy(), 20));
    return undefined;
  };
  await serving(breaking, async (at, requests) => {
    assert.deepEqual(await fetchThumb(at("/a"), { bytes: 64 }), first(23));
    assert.deepEqual(await fetchThumb(at("/a"), { bytes: 64 }), first(64));
    assert.deepEqual(requests.map(({ range }) => range), ["bytes=0-63", "bytes=23-63"]);
  });
});

test("the iterator throws the interruption after the last prefix", async () => {
  const breaking = (_, response) => {
    response.writeHead(200, { "Content-Length": 64 });
    response.write(STREAM.subarray(0, 23), () => setTimeout(() => response.destroy(), 20));
  };
  await serving(breaking, async (at) => {
    const got = [];
    await assert.rejects(async () => {
      for await (const stream of prefixes(at("/a"))) got.push(stream);
    });
    assert.deepEqual(got, [first(23)]);
  });
});

test("an aborted request keeps the received bytes in the cache", async () => {
  const stalling = ({ headers }, response) => {
    if (headers.range !== "bytes=0-63") return ranges()({ headers }, response);
    response.writeHead(206, { "Content-Range": "bytes 0-63/200", "Content-Length": 64 });
    response.write(STREAM.subarray(0, 12));
    return undefined;
  };
  await serving(stalling, async (at, requests) => {
    const control = new AbortController();
    const streams = prefixes(at("/a"), { bytes: 64, signal: control.signal });
    assert.deepEqual((await streams.next()).value, first(12));
    setTimeout(() => control.abort(), 10);
    await assert.rejects(streams.next(), { name: "AbortError" });
    assert.deepEqual(await fetchThumb(at("/a"), { bytes: 40 }), first(40));
    assert.equal(requests[1].range, "bytes=12-39");
  });
});

test("an aborted fetch rejects in spite of an inlined prefix", async () => {
  await serving(ranges(), async (at) => {
    const signal = AbortSignal.abort();
    const aborted = fetchThumb(at("/a"), { start: first(8), bytes: 64, signal });
    await assert.rejects(aborted, { name: "AbortError" });
  });
});

test("restarts when the ETag changes", async () => {
  const other = STREAM.toReversed();
  let answer = ranges();
  await serving((...request) => answer(...request), async (at, requests) => {
    assert.deepEqual(await fetchThumb(at("/a"), { bytes: 16 }), first(16));
    answer = ranges(other, '"other"');
    assert.deepEqual(await fetchThumb(at("/a"), { bytes: 32 }), other.slice(0, 32));
    assert.deepEqual(
      requests.map(({ range }) => range),
      ["bytes=0-15", "bytes=16-31", "bytes=0-31"],
    );
  });
});

test("an error status is a ResponseError, unless there is an inlined prefix", async () => {
  const refuse = (_, response) => response.writeHead(404, { "Content-Type": "text/plain" }).end("{}");
  await serving(refuse, async (at) => {
    const notFound = (error) => error instanceof ResponseError && error.status === 404
      && error.message === `expected a stream from ${at("/a")}, got status 404, text/plain`;
    await assert.rejects(fetchThumb(at("/a"), { bytes: 16 }), notFound);
    assert.deepEqual(await fetchThumb(at("/a"), { start: first(9), bytes: 16 }), first(9));
  });
});

for (const [name, status, headers] of [
  ["status 416 for the first byte", 416, {}],
  ["a part of another range", 206, { "Content-Range": "bytes 8-15/200" }],
  ["an empty response", 200, {}],
  ["a response without a body", 204, {}],
  ["an HTML page", 200, { "Content-Type": "text/html; charset=utf-8" }],
  ["a JSON document", 200, { "Content-Type": "application/problem+json" }],
  ["the photograph", 200, { "Content-Type": "image/jpeg" }],
]) {
  test(`${name} is a ResponseError`, async () => {
    const answer = (_, response) => response.writeHead(status, headers).end(status === 206 || headers["Content-Type"] ? "x" : "");
    await serving(answer, async (at) => {
      await assert.rejects(fetchThumb(at("/a"), { bytes: 16 }), { name: "ResponseError", status });
    });
  });
}

test("an unreachable server is a TypeError", async () => {
  let gone;
  await serving(ranges(), async (at) => (gone = at("/a")));
  await assert.rejects(fetchThumb(gone, { bytes: 16 }), TypeError);
});

test("accepts an inlined prefix in base64", async () => {
  await serving(ranges(), async (at, requests) => {
    const start = Buffer.from(first(8)).toString("base64");
    assert.deepEqual(await fetchThumb(at("/a"), { start, bytes: 16 }), first(16));
    assert.equal(requests[0].range, "bytes=8-15");
    await assert.rejects(fetchThumb(at("/b"), { start: STREAM.buffer }), TypeError);
  });
});

test("no bytes are an empty prefix without a request", async () => {
  await serving(ranges(), async (at, requests) => {
    assert.deepEqual(await fetchThumb(at("/a"), { bytes: 0 }), new Uint8Array());
    assert.deepEqual(requests, []);
  });
});

test("the cache has a limit in bytes, and drops the least recently written addresses", async () => {
  const stream = new Uint8Array(10_000);
  await serving(ranges(stream), async (at, requests) => {
    for (let i = 0; i < 110; i++) await fetchThumb(at(`/${i}`));
    requests.length = 0;
    for (let i = 10; i < 110; i++) await fetchThumb(at(`/${i}`));
    assert.equal(requests.length, 0);
    await fetchThumb(at("/0"));
    assert.equal(requests.length, 1);
  });
});

test("changing a returned array does not change the cache", async () => {
  await serving(ranges(), async (at) => {
    (await fetchThumb(at("/a"))).fill(0);
    assert.deepEqual(await fetchThumb(at("/a")), STREAM);
  });
});

test("reads an endless response up to a limit, and in linear time", async () => {
  let sent = 0;
  const endless = (_, response) => {
    const chunk = new Uint8Array(1024).fill(86);
    const write = () => {
      if (response.destroyed) return;
      sent += chunk.length;
      response.write(chunk, () => setImmediate(write));
    };
    write();
  };
  await serving(endless, async (at) => {
    const start = performance.now();
    const stream = await fetchThumb(at("/a"));
    assert.equal(stream.length, 2 ** 18);
    assert.ok(performance.now() - start < 5000);
    const after = sent;
    await new Promise((go) => setTimeout(go, 100));
    assert.ok(sent - after < 2 ** 20, "the client closes the connection");
  });
});
