/** One stream over HTTP: prefixes that grow, answers that break off, servers that differ. */

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

test("a prefix, more of it, and the rest: nothing is asked for twice", async () => {
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

test("a whole stream needs no range", async () => {
  await serving(ranges(), async (at, requests) => {
    assert.deepEqual(await fetchThumb(at("/thumb/a")), STREAM);
    assert.deepEqual(requests, [{ line: "GET /thumb/a", range: undefined, body: "" }]);
  });
});

test("a stream that ends early is known to be whole", async () => {
  await serving(ranges(first(20)), async (at, requests) => {
    assert.deepEqual(await fetchThumb(at("/a"), { bytes: 64 }), first(20));
    assert.deepEqual(await fetchThumb(at("/a"), { bytes: 128 }), first(20));
    assert.equal(requests.length, 1);
  });
});

test("a stream that ends where one stopped says so with 416, once", async () => {
  await serving(ranges(first(32)), async (at, requests) => {
    for (const bytes of [32, 64, 128]) {
      assert.deepEqual(await fetchThumb(at("/a"), { bytes }), first(32));
    }
    assert.deepEqual(requests.map(({ range }) => range), ["bytes=0-31", "bytes=32-63"]);
  });
});

test("what the page has inlined is shown first and not asked for", async () => {
  await serving(ranges(), async (at, requests) => {
    const got = await all(prefixes(at("/a"), { start: first(24), bytes: 64 }));
    assert.deepEqual([got[0], got.at(-1)], [first(24), first(64)]);
    assert.equal(requests[0].range, "bytes=24-63");
    assert.deepEqual(await all(prefixes(at("/b"), { start: first(64), bytes: 32 })), [first(32)]);
    assert.equal(requests.length, 1);
  });
});

test("the request is under way while the first bytes are looked at", async () => {
  await serving(ranges(), async (at, requests) => {
    const streams = prefixes(at("/a"), { start: first(16), bytes: 32 });
    assert.deepEqual((await streams.next()).value, first(16));
    while (requests.length === 0) await new Promise((go) => setTimeout(go, 5));
    assert.deepEqual((await streams.next()).value, first(32));
  });
});

test("a server without ranges is asked once; no shorter prefix follows a longer one", async () => {
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

test("every piece of a slow answer is a longer prefix", async () => {
  const slow = (_, response) => {
    response.writeHead(206, { "Content-Range": "bytes 0-29/200" });
    response.write(STREAM.subarray(0, 10));
    setTimeout(() => response.write(STREAM.subarray(10, 20)), 30);
    setTimeout(() => response.end(STREAM.subarray(20, 30)), 60);
  };
  await serving(slow, async (at) => {
    const got = await all(prefixes(at("/a"), { bytes: 30 }));
    assert.deepEqual(got, [first(10), first(20), first(30)]);
  });
});

test("an answer that breaks off counts as far as it came, and the rest is asked for", async () => {
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

test("the iterator tells of the break, behind what came before it", async () => {
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

test("a server that stops answering is given up with a signal; what came is kept", async () => {
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

test("an aborted fetch rejects even with bytes in hand", async () => {
  await serving(ranges(), async (at) => {
    const signal = AbortSignal.abort();
    const asked = fetchThumb(at("/a"), { start: first(8), bytes: 64, signal });
    await assert.rejects(asked, { name: "AbortError" });
  });
});

test("another stream at the same address is read from its beginning", async () => {
  const other = STREAM.toReversed();
  let answer = ranges();
  await serving((...asked) => answer(...asked), async (at, requests) => {
    assert.deepEqual(await fetchThumb(at("/a"), { bytes: 16 }), first(16));
    answer = ranges(other, '"other"');
    assert.deepEqual(await fetchThumb(at("/a"), { bytes: 32 }), other.slice(0, 32));
    assert.deepEqual(
      requests.map(({ range }) => range),
      ["bytes=0-15", "bytes=16-31", "bytes=0-31"],
    );
  });
});

test("a refusal is an error with its status, or nothing where there is a picture already", async () => {
  const refuse = (_, response) => response.writeHead(404).end("{}");
  await serving(refuse, async (at) => {
    const refused = (error) => error instanceof ResponseError && error.status === 404
      && error.message === `no stream from ${at("/a")}: status 404`;
    await assert.rejects(fetchThumb(at("/a"), { bytes: 16 }), refused);
    assert.deepEqual(await fetchThumb(at("/a"), { start: first(9), bytes: 16 }), first(9));
  });
});

for (const [name, status, headers] of [
  ["416 without a byte in hand", 416, {}],
  ["a part that begins elsewhere", 206, { "Content-Range": "bytes 8-15/200" }],
  ["an empty answer", 200, {}],
]) {
  test(`${name} is no stream`, async () => {
    const answer = (_, response) => response.writeHead(status, headers).end(status === 206 ? "x" : "");
    await serving(answer, async (at) => {
      await assert.rejects(fetchThumb(at("/a"), { bytes: 16 }), { name: "ResponseError", status });
    });
  });
}

test("no server at all is an error", async () => {
  let gone;
  await serving(ranges(), async (at) => (gone = at("/a")));
  await assert.rejects(fetchThumb(gone, { bytes: 16 }), TypeError);
});

test("of the addresses, the thousand that were written last are remembered", async () => {
  await serving(ranges(first(4)), async (at, requests) => {
    for (let i = 0; i <= 1000; i++) await fetchThumb(at(`/${i}`), { bytes: 4 });
    requests.length = 0;
    await fetchThumb(at("/1000"), { bytes: 4 });
    assert.equal(requests.length, 0);
    await fetchThumb(at("/0"), { bytes: 4 });
    assert.equal(requests.length, 1);
  });
});
