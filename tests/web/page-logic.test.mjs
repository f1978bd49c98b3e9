/** The texts of the landing page. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { explain } from "../../service/thumbstream/web/failure.js";
import { countBytes } from "../../service/thumbstream/web/panel.js";
import { addressLines, installLines, snippet } from "../../service/thumbstream/web/results.js";

test("the lines to copy have the stream, the prefix and the service", () => {
  const answer = { id: "AbCd", url: "/thumb/AbCd" };
  assert.deepEqual(addressLines(answer, 24, "https://thumbs.example"), {
    id: "AbCd",
    curl: "curl 'https://thumbs.example/thumb/AbCd?bytes=24' --output preview.bin",
    image: "https://thumbs.example/decode/AbCd?bytes=24&format=png&scale=8",
  });
  assert.match(installLines("https://thumbs.example").install, /src="https:\/\/thumbs\.example\/client\//);
});

test("the snippet escapes what the visitor named", () => {
  const stream = Uint8Array.of(0, 1, 2);
  const picture = { stream, src: "/thumb/x", full: 'a"<b&.jpg', alt: "A", width: 3, height: 2 };
  assert.equal(snippet(picture), `<img
  src="a&quot;&lt;b&amp;.jpg"
  alt="A" width="3" height="2"
  data-thumb="AAEC"
  data-thumb-src="/thumb/x">`);
  assert.ok(!snippet({ ...picture, src: null }).includes("data-thumb-src="));
});

test("errors are sentences, and only those that may pass can be retried", () => {
  for (const [error, text, canRetry] of [
    [{ code: "unauthorized", status: 401 }, /need a token/, false],
    [{ code: "overloaded", status: 429 }, /try again\.$/, true],
    [{ code: "invalid_image", detail: "cut off", status: 422 }, /\(cut off\)\. Choose a JPEG/, false],
    [{ code: "other", detail: "Full moon", status: 503 }, /Full moon/, true],
    [{ code: "other", title: "No", status: 400 }, /rejected the request: No/, false],
    [new TypeError("x is undefined"), /x is undefined.*Reload it\.$/, false],
  ]) {
    const explained = explain(error);
    assert.match(explained.text, text);
    assert.equal(explained.canRetry, canRetry);
  }
});

test("byte counts have a singular and separators", () => {
  assert.deepEqual([countBytes(1), countBytes(2), countBytes(3856)], ["1 byte", "2 bytes", "3,856 bytes"]);
});
