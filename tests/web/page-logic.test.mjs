/** What the page writes down: the lines to copy and the lines of the chart. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { path } from "../../service/thumbstream/web/chart.js";
import { countBytes } from "../../service/thumbstream/web/panel.js";
import { lines } from "../../service/thumbstream/web/results.js";
import { POSITIONS, positionOf } from "../../service/thumbstream/web/scale.js";

test("the lines to copy name the stream, the prefix and this service", () => {
  const answer = { id: "AbCd", url: "/thumb/AbCd", prefix_base64: "AAEC" };
  assert.deepEqual(lines(answer, 24, "https://thumbs.example"), {
    id: "AbCd",
    curl: "curl 'https://thumbs.example/thumb/AbCd?bytes=24' --output preview.bin",
    image: "https://thumbs.example/decode/AbCd?bytes=24&format=png&scale=8",
    preview: "AAEC",
  });
});

test("a line of the chart goes from the left to the right, and up with SSIM", () => {
  const middle = positionOf(64, 241);
  assert.equal(
    path([[1, 0], [64, 0.5], [241, 1]], 241),
    `M0 100.00L${middle} 50.00L${POSITIONS} 0.00`,
  );
});

test("points beyond the stream are left out, and SSIM below zero lies on the ground", () => {
  assert.equal(path([[1, -0.4], [300, 0.9]], 241), "M0 100.00");
  assert.equal(path([], 241), "");
});

test("one byte is a byte", () => {
  assert.deepEqual([countBytes(1), countBytes(2), countBytes(3856)], ["1 byte", "2 bytes", "3,856 bytes"]);
});
