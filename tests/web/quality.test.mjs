/** SSIM and PSNR against the values of `thumbstream_models.evaluate.metrics` for the same pictures. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { psnr, ssim } from "../../service/thumbstream/web/quality.js";
import { render, ramp, texture } from "./pictures.mjs";

const map = ({ width, height, data }, change) =>
  render(width, height, (x, y) => [...data.slice(4 * (y * width + x), 4 * (y * width + x) + 3)].map(change));

const CASES = [
  ["texture against texture", texture(32, 32, 1), texture(32, 32, 2), -0.18941301954802212, 7.806637511741236],
  ["ramp against texture", ramp(32, 21), texture(32, 21, 3), 0.028441917479600412, 7.076758226652181],
  ["ramp against a darker one", ramp(64, 48), map(ramp(64, 48), (v) => Math.floor(v * 0.8)), 0.9615754807489842, 18.819672830989585],
  ["a window as high as the picture", texture(32, 7, 4), ramp(32, 7), -0.008603419580246354, 6.798492057792572],
  ["a short side that is even", texture(16, 4, 5), ramp(16, 4), 0.038824779958953164, 6.756982233189532],
  ["a single line", texture(24, 1, 6), ramp(24, 1), 0.23012157254952123, 4.846446901646466],
  ["a single pixel", texture(1, 1, 7), map(ramp(1, 1), (v) => v + 9), 0.0869597689399284, 1.8698989593173962],
  ["equal pictures", ramp(32, 32), ramp(32, 32), 1, 100],
];

for (const [name, a, b, similarity, noise] of CASES) {
  test(name, () => {
    const { width, height } = a;
    assert.ok(Math.abs(ssim(a.data, b.data, width, height) - similarity) < 1e-9);
    assert.ok(Math.abs(psnr(a.data, b.data) - noise) < 1e-9);
  });
}

const rgb = ({ width, data }, x, y) => data.slice(4 * (y * width + x), 4 * (y * width + x) + 3);
const faded = (picture, alpha) =>
  render(picture.width, picture.height, (x, y) => [...rgb(picture, x, y), alpha(x, y)]);

const WITH_ALPHA = [
  ["two transparent textures", faded(texture(16, 16, 1), (x) => 16 * x),
    faded(texture(16, 16, 2), (x, y) => 17 * y), -0.0725570285487902, 9.699560972227573],
  ["opaque against transparent", ramp(24, 16), faded(ramp(24, 16), (x) => 10 * x),
    0.49537590930244474, 9.015270882384165],
];

for (const [name, a, b, similarity, noise] of WITH_ALPHA) {
  test(name, () => {
    assert.ok(Math.abs(ssim(a.data, b.data, a.width, a.height) - similarity) < 1e-9);
    assert.ok(Math.abs(psnr(a.data, b.data) - noise) < 1e-9);
  });
}

test("hidden colors do not count", () => {
  const hidden = (picture) => faded(picture, (x) => (x < 4 ? 0 : 255));
  const a = hidden(texture(16, 16, 1));
  const b = { ...a, data: a.data.map((sample, i) => (a.data[i | 3] === 0 && i % 4 < 3 ? 9 : sample)) };
  assert.notDeepEqual(a.data, b.data);
  assert.equal(psnr(a.data, b.data), 100);
  assert.ok(Math.abs(ssim(a.data, b.data, 16, 16) - 1) < 1e-12);
});

test("alpha of 250 and more is opaque", () => {
  const a = texture(16, 16, 1);
  assert.equal(psnr(a.data, faded(a, () => 251).data), 100);
});
