/** The texts of the demo page. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { countBytes } from "../../service/thumbstream/web/panel.js";
import { lines } from "../../service/thumbstream/web/results.js";

test("the lines to copy have the stream, the prefix and the service", () => {
  const answer = { id: "AbCd", url: "/thumb/AbCd", prefix_base64: "AAEC" };
  assert.deepEqual(lines(answer, 24, "https://thumbs.example"), {
    id: "AbCd",
    curl: "curl 'https://thumbs.example/thumb/AbCd?bytes=24' --output preview.bin",
    image: "https://thumbs.example/decode/AbCd?bytes=24&format=png&scale=8",
    preview: "AAEC",
  });
});

test("byte counts have a singular and separators", () => {
  assert.deepEqual([countBytes(1), countBytes(2), countBytes(3856)], ["1 byte", "2 bytes", "3,856 bytes"]);
});
