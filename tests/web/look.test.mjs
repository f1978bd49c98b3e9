/** The first look of format 8 is that of the Python codec. make_look_vectors.py writes the vectors. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { decodeLook } from "../../service/thumbstream/web/client/look.js";
import { drawLook } from "../../service/thumbstream/web/client/look_picture.js";
import { bytesOf } from "./client-vectors.mjs";

const { tables, vectors } = JSON.parse(
  readFileSync(new URL("look-vectors.json", import.meta.url), "utf8"),
);
const SIDE = 8;

for (const { rows, columns, hex, known, states, samples } of vectors) {
  const stream = bytesOf(hex);
  const name = `${rows} x ${columns} cells, ${stream.length} bytes, ${states.length} layers`;
  const look = () => decodeLook(tables, stream, 0, states.length, { rows, columns });

  test(`symbols: ${name}`, () => {
    const { layers, decodedCount } = look();
    assert.deepEqual(layers.map((layer) => [...layer.states]), states);
    assert.equal(decodedCount, known);
  });

  test(`picture: ${name}`, () => {
    const width = SIDE * columns;
    look().layers.forEach((layer, i) => {
      const drawn = drawLook(tables, layer, { rows, columns })
        .filter((_, k) => k % SIDE === 5 && Math.floor(k / width) % SIDE === 3);
      assert.equal(drawn.length, samples[i].length);
      drawn.forEach((value, k) => assert.ok(Math.abs(value - samples[i][k]) < 2e-5));
    });
  });
}

test("bytes after a first look change nothing", () => {
  const { rows, columns, hex, states } = vectors.find(({ hex: text }) => text.length > 300);
  const stream = new Uint8Array([...bytesOf(hex), 1, 2, 3]);
  const { layers } = decodeLook(tables, stream, 0, states.length, { rows, columns });
  assert.deepEqual(layers.map((layer) => [...layer.states]), states);
});
