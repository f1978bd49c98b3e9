import assert from "node:assert/strict";
import { test } from "node:test";

import { QUALITIES, stripMetadata, encodeAll, pick } from "../../service/thumbstream/web/webp.js";

/** A RIFF container of the given chunks, padded as RFC 9649 wants it. */
function container(...chunks) {
  const body = Buffer.concat(
    chunks.map(([name, size]) => {
      const chunk = Buffer.alloc(8 + size + (size % 2));
      chunk.write(name);
      chunk.writeUInt32LE(size, 4);
      chunk.fill(name.charCodeAt(3), 8, 8 + size);
      return chunk;
    }),
  );
  const head = Buffer.from("RIFF\0\0\0\0WEBP", "latin1");
  head.writeUInt32LE(4 + body.length, 4);
  return Buffer.concat([head, body]);
}

const blob = (bytes, type = "image/webp") => new Blob([bytes], { type });

test("a file of one chunk is unchanged", () => {
  for (const name of ["VP8 ", "VP8L"]) {
    for (const size of [70, 71]) {
      const file = container([name, size]);
      assert.deepEqual(Buffer.from(stripMetadata(file)), file);
    }
  }
});

test("removes profile and metadata", () => {
  const file = container(["VP8X", 10], ["ICCP", 455], ["VP8 ", 71], ["EXIF", 9]);
  assert.deepEqual(Buffer.from(stripMetadata(file)), container(["VP8 ", 71]));
});

test("keeps three chunks of a lossy file with alpha", () => {
  const file = container(["VP8X", 10], ["ICCP", 455], ["ALPH", 33], ["VP8 ", 71], ["EXIF", 9]);
  file[20] = 0x10 | 0x20 | 0x08; // alpha, profile, metadata
  const out = Buffer.from(stripMetadata(file));
  const expected = container(["VP8X", 10], ["ALPH", 33], ["VP8 ", 71]);
  expected[20] = 0x10;
  assert.deepEqual(out, expected);
  assert.equal(file[20], 0x38); // the file itself is left alone
});

test("keeps one chunk of a lossless file with alpha", () => {
  const file = container(["VP8X", 10], ["ICCP", 455], ["VP8L", 71]);
  assert.deepEqual(Buffer.from(stripMetadata(file)), container(["VP8L", 71]));
});

test("rejects a file without a picture", () => {
  assert.throws(() => stripMetadata(container(["ICCP", 12])), RangeError);
  assert.throws(() => stripMetadata(Buffer.from("RIFF")), RangeError);
});

test("files are ascending in length, with the highest quality of each length", async () => {
  const sizes = new Map([[0, 90], [0.2, 80], [0.4, 100], [0.6, 100], [0.8, 120]]);
  const encode = async (quality) =>
    blob(container(["VP8X", 10], ["ICCP", 456], ["VP8 ", sizes.get(quality)]));
  const files = await encodeAll(encode, [...sizes.keys()]);
  assert.deepEqual(
    files.map(({ bytes, quality }) => [bytes, quality]),
    [[100, 0.2], [110, 0], [120, 0.6], [140, 0.8]],
  );
  for (const file of files) assert.equal(file.blob.size, file.bytes);
});

test("tries every lossy quality by default", async () => {
  const tried = [];
  await encodeAll(async (quality) => {
    tried.push(quality);
    return blob(container(["VP8 ", 50]));
  });
  assert.deepEqual(tried, QUALITIES);
  assert.equal(tried[0], 0);
  assert.ok(Math.max(...tried) < 1);
});

test("a browser that returns PNG has no encoder", async () => {
  assert.deepEqual(await encodeAll(async () => blob("png", "image/png")), []);
});

test("picks the longest file within the budget, or else the shortest", () => {
  const files = [90, 100, 140].map((bytes) => ({ bytes }));
  for (const [budget, bytes] of [[1, 90], [89, 90], [90, 90], [99, 90], [100, 100], [139, 100], [5000, 140]]) {
    assert.equal(pick(files, budget).bytes, bytes, `budget ${budget}`);
  }
});
