import assert from "node:assert/strict";
import { test } from "node:test";

import {
  POSITIONS, afterKey, bytesAt, playlist, positionOf, ticks,
} from "../../service/thumbstream/web/scale.js";

const LENGTHS = [1, 2, 5, 17, 241, 256, 3856];

test("the ends of the slider are one byte and the complete stream", () => {
  for (const length of LENGTHS) {
    assert.equal(bytesAt(0, length), 1);
    assert.equal(bytesAt(POSITIONS, length), length);
    assert.equal(positionOf(length, length), POSITIONS);
  }
  assert.equal(positionOf(1, 241), 0);
});

test("bytes are ascending integers within the stream", () => {
  for (const length of LENGTHS) {
    let last = 1;
    for (let position = 0; position <= POSITIONS; position++) {
      const bytes = bytesAt(position, length);
      assert.ok(Number.isInteger(bytes) && bytes >= last && bytes <= length);
      last = bytes;
    }
  }
});

test("a stream of a 32 x 32 grid has a position for each of its bytes", () => {
  for (let bytes = 1; bytes <= 256; bytes++) {
    assert.equal(bytesAt(positionOf(bytes, 256), 256), bytes);
  }
});

test("ticks are ascending and do not touch", () => {
  assert.deepEqual(ticks(241), [12, 24, 32, 64, 128, 241]);
  assert.deepEqual(ticks(133), [12, 24, 32, 64, 133]);
  assert.deepEqual(ticks(7), [7]);
  assert.deepEqual(ticks(3856), [12, 24, 64, 128, 256, 512, 1024, 2048, 3856]);
});

test("a playlist runs from one byte to the complete stream without repeats", () => {
  for (const length of LENGTHS) {
    const counts = playlist(length);
    assert.equal(counts[0], 1);
    assert.equal(counts.at(-1), length);
    assert.ok(counts.length <= 48);
    assert.deepEqual(counts, [...new Set(counts)].sort((a, b) => a - b));
  }
});

test("keys move by bytes and stop at the ends", () => {
  const table = [
    ["ArrowRight", 64, 65], ["ArrowUp", 64, 65], ["ArrowLeft", 64, 63], ["ArrowDown", 64, 63],
    ["PageUp", 64, 72], ["PageDown", 64, 56], ["Home", 64, 1], ["End", 64, 241],
    ["ArrowRight", 241, 241], ["PageUp", 240, 241], ["ArrowLeft", 1, 1], ["PageDown", 3, 1],
    ["Tab", 64, null], ["a", 64, null],
  ];
  for (const [key, bytes, expected] of table) assert.equal(afterKey(key, bytes, 241), expected, key);
});
