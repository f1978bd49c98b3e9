/** The page's requests against a server of its own, on a port that the system chooses. */

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";

import {
  ServiceError, compress, decode, decodePath, mediaType, retryAfter,
} from "../../service/thumbstream/web/service.js";

const PROBLEM = "application/problem+json";

/** Answers in order; the page's relative URLs are resolved as a browser would. */
async function serving(answers, run) {
  const requests = [];
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    requests.push({
      line: `${request.method} ${request.url}`,
      type: request.headers["content-type"],
      authorization: request.headers.authorization,
      body: Buffer.concat(chunks).toString(),
    });
    const [status, type, body, headers = {}] = answers.shift();
    response.writeHead(status, { "Content-Type": type, Connection: "close", ...headers });
    response.end(body);
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const original = globalThis.fetch;
  const base = `http://127.0.0.1:${server.address().port}`;
  globalThis.fetch = (url, options) => original(new URL(url, base), options);
  try {
    await run(requests);
  } finally {
    globalThis.fetch = original;
    await new Promise((done) => server.close(done));
  }
}

const live = () => new AbortController().signal;
const picture = () => new File(["pixels"], "lake.jpg", { type: "image/jpeg" });

test("compress uploads the file with its media type", async () => {
  await serving([[201, "application/json", '{"id": "x", "length": 241}']], async (requests) => {
    const answer = await compress(picture(), 64, live());
    assert.deepEqual(answer, { id: "x", length: 241 });
    assert.deepEqual(requests, [
      {
        line: "POST /compress?size=64",
        type: "image/jpeg",
        authorization: undefined,
        body: "pixels",
      },
    ]);
  });
});

test("compress sends the token", async () => {
  const answers = [[201, "application/json", "{}"], [201, "application/json", "{}"]];
  await serving(answers, async (requests) => {
    await compress(picture(), 64, live(), { token: "secret" });
    await compress(picture(), 64, live(), { token: "" });
    const shown = requests.map(({ authorization }) => authorization);
    assert.deepEqual(shown, ["Bearer secret", undefined]);
  });
});

test("decode requests a PNG at the size of the grid", async () => {
  await serving([[200, "image/png", "png"]], async (requests) => {
    const blob = await decode("AbC-_", 24, live());
    assert.equal(await blob.text(), "png");
    assert.equal(requests[0].line, "GET /decode/AbC-_?bytes=24&format=png");
  });
  assert.equal(decodePath("x", 9, 8), "/decode/x?bytes=9&format=png&scale=8");
});

test("an error has the fields of the problem document", async () => {
  const body = JSON.stringify({ title: "Too large", detail: "At most 20 MiB.", code: "too_large" });
  await serving([[413, PROBLEM, body]], async () => {
    await assert.rejects(compress(picture(), 32, live()), (error) => {
      assert.ok(error instanceof ServiceError);
      const { title, detail, code, status } = error;
      assert.deepEqual([title, detail, code, status], ["Too large", "At most 20 MiB.", "too_large", 413]);
      return true;
    });
  });
});

test("an error without a problem document has its status", async () => {
  await serving([[502, "text/html", "<h1>Bad gateway</h1>"]], async () => {
    await assert.rejects(decode("x", 1, live()), { title: "The service returned status 502", status: 502 });
  });
});

test("retries once after Retry-After", async () => {
  const busy = [429, PROBLEM, '{"title": "Busy"}', { "Retry-After": "0.05" }];
  await serving([busy, [201, "application/json", '{"id": "x"}']], async (requests) => {
    const waits = [];
    const begin = performance.now();
    const answer = await compress(picture(), 32, live(), {
      onBusy: (seconds) => waits.push(seconds),
    });
    assert.deepEqual(answer, { id: "x" });
    assert.ok(performance.now() - begin >= 45);
    assert.deepEqual(waits, [0.05]);
    assert.deepEqual(requests.map(({ body }) => body), ["pixels", "pixels"]);
  });
});

test("reports a service that stays busy", async () => {
  const busy = (seconds) => [429, PROBLEM, '{"title": "Busy"}', { "Retry-After": seconds }];
  await serving([busy("0"), busy("0")], async (requests) => {
    await assert.rejects(decode("x", 1, live()), { title: "Busy", status: 429 });
    assert.equal(requests.length, 2);
  });
  await serving([busy("3600")], async (requests) => {
    await assert.rejects(decode("x", 1, live()), { title: "Busy", status: 429 });
    assert.equal(requests.length, 1);
  });
});

test("waiting for a retry can be aborted", async () => {
  const controller = new AbortController();
  await serving([[429, PROBLEM, "{}", { "Retry-After": "9" }]], async () => {
    const onBusy = () => controller.abort();
    const waiting = compress(picture(), 32, controller.signal, { onBusy });
    await assert.rejects(waiting, { name: "AbortError" });
  });
});

test("reports an unreachable service", async () => {
  const original = globalThis.fetch;
  globalThis.fetch = async () => {
    throw new TypeError("fetch failed");
  };
  try {
    await assert.rejects(decode("x", 1, live()), { title: "The service cannot be reached" });
  } finally {
    globalThis.fetch = original;
  }
});

test("Retry-After is a number of seconds or a date", () => {
  const now = Date.parse("2026-01-01T00:00:00Z");
  const table = [
    ["2", 2], ["0", 0], ["-3", 0], [null, 1], ["", 1], ["soon", 1],
    ["Thu, 01 Jan 2026 00:00:05 GMT", 5], ["Wed, 31 Dec 2025 23:00:00 GMT", 0],
  ];
  for (const [header, seconds] of table) assert.equal(retryAfter(header, now), seconds, header);
});

test("the suffix gives the media type of a file without one", () => {
  assert.equal(mediaType({ name: "a.png", type: "image/png" }), "image/png");
  assert.equal(mediaType({ name: "scan.TIFF", type: "" }), "image/tiff");
  assert.equal(mediaType({ name: "notes", type: "" }), "application/octet-stream");
  assert.equal(mediaType(new Blob(["x"], { type: "image/webp" })), "image/webp");
});
