/** A server of streams on a free port, for the tests of fetch.js. */

import { createServer } from "node:http";

export const STREAM = Uint8Array.from({ length: 200 }, (_, i) => (i * 37) % 256);

/**
 * @param {(request: object, response: object) => void} answer
 * @param {(at: (path: string) => string, requests: object[]) => Promise<void>} run takes a function
 *   from path to URL, and the requests so far: `{line, range, body}`
 */
export async function serving(answer, run) {
  const requests = [];
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const { method, url, headers } = request;
    requests.push({ line: `${method} ${url}`, range: headers.range, body: chunks.join("") });
    answer(request, response, chunks.join(""));
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address();
  try {
    await run((path) => `http://127.0.0.1:${port}${path}`, requests);
  } finally {
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  }
}

/** Answers like the service: with ranges and an ETag. */
export function ranges(stream = STREAM, etag = '"stream"') {
  return ({ headers }, response) => {
    const [, from, last] = /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? "") ?? [];
    if (from === undefined) return response.writeHead(200, { ETag: etag }).end(stream);
    const start = Number(from);
    const end = Math.min(last === "" ? Infinity : Number(last) + 1, stream.length);
    if (start >= stream.length) {
      return response.writeHead(416, { "Content-Range": `bytes */${stream.length}` }).end();
    }
    const part = `bytes ${start}-${end - 1}/${stream.length}`;
    response.writeHead(206, { ETag: etag, "Content-Range": part, "Content-Length": end - start });
    return response.end(stream.subarray(start, end));
  };
}
