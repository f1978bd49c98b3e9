/**
 * Previews for the `<img data-thumb>` of a page, until their pictures are loaded.
 *
 * Three tiers. The first look of each image is computed here, without a request. The network, that is
 * weights and worker, is fetched when the page is idle and its pictures are loaded, or read from the
 * browser's cache, and sharpens previews that are still visible. The pictures are the browser's own
 * work: nothing here delays or replaces them.
 *
 * A preview is the background of its image, set by a rule of a style sheet. No element is added and no
 * attribute is changed, so layout is that of `<img>`, and frameworks find the markup they rendered.
 * In Node, importing this module has no effect.
 */

import { streamBytes } from "./bytes.js";
import { firstLook } from "./first_look.js";
import { pngDataURL } from "./png.js";
import { hasCachedWeights } from "./weights_cache.js";

const ATTRIBUTES = ["data-thumb", "data-thumb-src", "data-thumb-bytes"];
const SELECTOR = "img[data-thumb], img[data-thumb-src]";
const SLICE = 12; // ms: how long the page's thread works before it yields
const BYTES = { "slow-2g": 16, "2g": 32, "3g": 64 }; // by navigator.connection.effectiveType
const SAVE_DATA_BYTES = 16;
const DEFAULT_BYTES = 128;
const OTHER_TYPES = /html|json|xml|image/; // an error page, or the photograph itself

/** Image to `{image, key, stream, bytes, isSharp}`: `bytes` is the length of the painted prefix. */
const previews = new Map();
/** Key to `{rule, ratioRule, images}`: images with the same attributes share their rules. */
const rulesByKey = new Map();
/** Previews whose first look is to be drawn. */
const queue = [];

let sheet, sharpener, drawing;
let allowsImages = true; // the content security policy allows data: pictures

/** @type {import("./images.js").watch} */
export function watch(root = document) {
  sheet ??= new CSSStyleSheet();
  root.adoptedStyleSheets.push(sheet);
  root.addEventListener("load", ({ target }) => release(target), true);
  const images = (node) => [
    ...(node.matches?.(SELECTOR) ? [node] : []), ...(node.querySelectorAll?.(SELECTOR) ?? []),
  ];
  new MutationObserver((records) => {
    for (const { type, target, addedNodes } of records) {
      (type === "attributes" ? [target] : [...addedNodes].flatMap(images)).forEach(show);
    }
  }).observe(root, { subtree: true, childList: true, attributeFilter: ATTRIBUTES });
  images(root).forEach(show);
}

/** @type {import("./images.js").sharpen} */
export async function sharpen() {
  sharpener ??= await import("./background.js");
  await sharpener.decodeInBackground(Uint8Array.of(0x5e)).catch(() => {}); // reads the weights
  await Promise.allSettled([...previews.values()].map(sharpenPreview));
}

/** @type {import("./images.js").hasPreview} */
export const hasPreview = (image) => previews.get(image)?.bytes > 0;

async function show(image) {
  const { thumb = "", thumbSrc } = image.dataset;
  const key = ATTRIBUTES.map((name) => image.getAttribute(name) ?? "").join(" ");
  const before = previews.get(image);
  if (before?.key === key && before.bytes) return;
  release(image);
  if (!image.matches(SELECTOR) || (image.complete && image.naturalWidth)) return;
  const preview = { image, key, bytes: 0 };
  previews.set(image, preview);
  try {
    preview.stream = streamBytes(thumb);
    if (!preview.stream.length && thumbSrc) {
      preview.stream = await fetchPrefix(thumbSrc, bytesOf(image));
    }
    queue.push(preview);
    drawing ??= drawQueue();
  } catch (error) {
    fail(preview, error);
  }
}

const isShown = (preview) => previews.get(preview.image) === preview;

function fail(preview, error) {
  const { image } = preview;
  if (!isShown(preview)) return; // it has another preview now, or its picture
  release(image);
  image.dispatchEvent(new ErrorEvent("previewerror", { error, message: error.message }));
}

/** Draw the first looks of the queue, as many as fit a frame before the thread is free again. */
async function drawQueue() {
  await null; // after all images that are new
  while (queue.length) {
    const end = performance.now() + SLICE;
    const drawn = [];
    while (queue.length && performance.now() < end) {
      const preview = queue.shift();
      if (!isShown(preview)) continue;
      try {
        drawn.push([preview, firstLook(preview.stream), preview.stream.length]);
      } catch (error) {
        fail(preview, error);
      }
    }
    paint(drawn);
    if (sharpener) for (const [preview] of drawn) sharpenPreview(preview).catch(() => {});
    await (globalThis.scheduler?.yield?.() ?? new Promise((go) => setTimeout(go)));
  }
  drawing = null;
}

/** Length of the prefix to show, in bytes. */
function bytesOf({ dataset: { thumbBytes } }) {
  const { saveData, effectiveType } = navigator.connection ?? {};
  if (thumbBytes) return thumbBytes === "all" ? 2 ** 16 : +thumbBytes;
  return saveData ? SAVE_DATA_BYTES : (BYTES[effectiveType] ?? DEFAULT_BYTES);
}

async function fetchPrefix(url, count) {
  const response = await fetch(url, { headers: { Range: `bytes=0-${count - 1}` } });
  const type = response.headers.get("Content-Type");
  if (!response.ok || OTHER_TYPES.test(type)) {
    throw new Error(`expected a stream from ${url}, got status ${response.status}, ${type}`);
  }
  return new Uint8Array(await response.arrayBuffer()).subarray(0, count);
}

/** Decode with the network as many bytes as the image should show. */
async function sharpenPreview(preview) {
  const { image } = preview;
  if (!preview.bytes || preview.isSharp) return;
  preview.isSharp = true;
  const { thumbSrc } = image.dataset;
  let { stream } = preview;
  const bytes = bytesOf(image);
  if (thumbSrc && stream.length < bytes) {
    stream = await sharpener.fetchThumb(thumbSrc, { bytes, start: stream }).catch(() => stream);
  }
  try {
    paint([[preview, await sharpener.decodeInBackground(stream), stream.length]]);
  } catch (error) {
    preview.isSharp = false;
    throw error;
  }
}

/** Show pictures, `[preview, picture, bytes]` each. Styles are read before any rule is changed. */
function paint(pictures) {
  const shown = pictures.filter(([preview]) => isShown(preview)).map(([preview, picture, bytes]) => {
    const { objectFit, objectPosition } = getComputedStyle(preview.image);
    const { averageColor } = picture;
    const size = /cover|contain/.test(objectFit) ? objectFit : "100% 100%";
    const url = allowsImages ? `url(${pngDataURL(picture)})` : "none";
    const color = averageColor.length > 7 ? "transparent" : averageColor;
    preview.bytes = bytes;
    return [preview, picture, `${url} ${objectPosition} / ${size} no-repeat content-box ${color}`];
  });
  for (const [{ image, key }, { aspectRatio }, background] of shown) {
    const entry = rulesOf(key);
    entry.images.add(image);
    entry.rule.style.setProperty("background", background, "important");
    const hasSize = image.getAttribute("width") && image.getAttribute("height");
    entry.ratioRule.style.aspectRatio = hasSize ? "" : `auto ${aspectRatio}`;
  }
  for (const [{ image }] of shown) image.dispatchEvent(new Event("preview"));
}

/** The rules of all images with these attributes. */
function rulesOf(key) {
  let entry = rulesByKey.get(key);
  if (!entry) {
    for (const unused of rulesByKey.values()) {
      if ([...unused.images].every((image) => !image.isConnected)) unused.images.forEach(release);
    }
    const values = key.split(" ").map((value) => CSS.escape(value));
    const selector = ATTRIBUTES.map((name, i) => values[i] && `[${name}="${values[i]}"]`).join("");
    const [rule, ratioRule] = [`img${selector}`, `:where(img${selector})`].map((text) => {
      sheet.insertRule(`${text} {}`, sheet.cssRules.length);
      return sheet.cssRules[sheet.cssRules.length - 1];
    });
    rulesByKey.set(key, (entry = { rule, ratioRule, images: new Set() }));
  }
  return entry;
}

/** Remove the preview of an image, and its rules if no other image needs them. */
function release(image) {
  const { key } = previews.get(image) ?? {};
  previews.delete(image);
  const entry = rulesByKey.get(key);
  entry?.images.delete(image);
  if (!entry || entry.images.size) return;
  rulesByKey.delete(key);
  const rules = [...sheet.cssRules];
  for (const rule of [entry.ratioRule, entry.rule]) sheet.deleteRule(rules.lastIndexOf(rule));
}

/** Fetch the network where it delays nothing. */
async function sharpenWhenIdle() {
  const { saveData, effectiveType } = navigator.connection ?? {};
  if (saveData || /2g/.test(effectiveType)) return;
  if (!(await hasCachedWeights())) {
    if (document.readyState !== "complete") await once(globalThis, "load");
    for (let image; (image = [...document.images].find(isLoadingInView)); ) {
      await Promise.race([once(image, "load"), once(image, "error")]);
    }
    await new Promise((go) => (globalThis.requestIdleCallback ?? setTimeout)(go));
    if (!previews.size && !document.querySelector(SELECTOR)) return;
  }
  await sharpen();
}

const once = (target, type) =>
  new Promise((go) => target.addEventListener(type, go, { once: true }));

function isLoadingInView(image) {
  if (image.complete) return false;
  const { top, bottom, left, right } = image.getBoundingClientRect();
  return bottom > 0 && right > 0 && top < innerHeight && left < innerWidth;
}

if (globalThis.document) {
  document.addEventListener("securitypolicyviolation", ({ effectiveDirective, blockedURI }) => {
    if (effectiveDirective === "img-src" && blockedURI === "data") allowsImages = false;
  });
  watch();
  sharpenWhenIdle().catch(() => {}); // the first looks stay
}
