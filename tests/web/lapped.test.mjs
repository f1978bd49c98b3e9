/** Format 8 is that of the Python codec. make_lapped_vectors.py writes the vectors. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { rotateToAxis } from "../../service/thumbstream/web/client/colors.js";
import { decodeLatents } from "../../service/thumbstream/web/client/lapped.js";
import { drawLatents } from "../../service/thumbstream/web/client/linear.js";
import { decodeLook } from "../../service/thumbstream/web/client/look.js";
import { bytesOf } from "./client-vectors.mjs";

const { tables, vectors } = JSON.parse(
  readFileSync(new URL("lapped-vectors.json", import.meta.url), "utf8"),
);
const SIDE = 8;
const decoders = { look: decodeLook, all: decodeLatents };

for (const { rows, columns, hex, axis, ...parts } of vectors) {
  const stream = bytesOf(hex);
  for (const [part, decode] of Object.entries(decoders)) {
    const { known, states, samples } = parts[part];
    const name = `${part}: ${rows} x ${columns} cells, ${stream.length} bytes, ${states.length} layers`;

    test(name, () => {
      const found = decode(tables, stream, 0, states.length, { rows, columns });
      assert.deepEqual(found.layers.map((layer) => [...layer.states]), states);
      assert.equal(found.decodedCount, known);
      assert.equal(found.axis, axis);
      const width = SIDE * columns;
      found.layers.forEach((layer, i) => {
        const colors = drawLatents(tables, layer, { rows, columns });
        if (i === 0) rotateToAxis(colors, tables, axis);
        const drawn = colors.filter((_, k) => k % SIDE === 5 && Math.floor(k / width) % SIDE === 3);
        assert.equal(drawn.length, samples[i].length);
        drawn.forEach((value, k) => assert.ok(Math.abs(value - samples[i][k]) < 1e-4));
      });
    });
  }
}

test("bytes after a stream change nothing", () => {
  const { rows, columns, hex, all } = vectors.find(({ hex: text }) => text.length > 300);
  const stream = new Uint8Array([...bytesOf(hex), 1, 2, 3]);
  const { layers } = decodeLatents(tables, stream, 0, all.states.length, { rows, columns });
  assert.deepEqual(layers.map((layer) => [...layer.states]), all.states);
});
