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

import { bmpDataURL } from "./bmp.js";
import { streamBytes } from "./bytes.js";
import { firstLook } from "./first_look.js";
import { hasCachedWeights } from "./weights_cache.js";

const ATTRIBUTES = ["data-thumb", "data-thumb-src", "data-thumb-bytes"];
const SELECTOR = "img[data-thumb], img[data-thumb-src]";
const SLICE = 12; // ms: how long the page's thread works before it yields
const BYTES = { "slow-2g": 16, "2g": 32, "3g": 64 }; // by navigator.connection.effectiveType
const SAVE_DATA_BYTES = 16;
const DEFAULT_BYTES = 128;
const OTHER_TYPES = /html|json|xml|image/; // an error page, or the photograph itself

/** Image to `{image, key, stream, place, bytes, isSharp}`: `bytes` is the length of the painted prefix. */
const previews = new Map();
/** Key to `{rule, images}`: images with the same attributes share a rule. */
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
    const batch = queue.splice(0).filter(isShown);
    for (const preview of batch) preview.place = placeOf(preview.image); // before any rule is changed
    let end = performance.now() + SLICE;
    for (const preview of batch) {
      if (performance.now() > end) {
        await (globalThis.scheduler?.yield?.() ?? new Promise((go) => setTimeout(go)));
        end = performance.now() + SLICE;
      }
      try {
        if (isShown(preview)) {
          await paint(preview, firstLook(preview.stream), preview.stream.length);
        }
      } catch (error) {
        fail(preview, error);
      }
      if (sharpener) sharpenPreview(preview).catch(() => {});
    }
  }
  drawing = null;
}

/** Where a preview is in its image, as `background` has it. */
function placeOf(image) {
  const { objectFit, objectPosition } = getComputedStyle(image);
  const size = /cover|contain/.test(objectFit) ? objectFit : "100% 100%";
  return `${objectPosition} / ${size} no-repeat content-box`;
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
    await paint(preview, await sharpener.decodeInBackground(stream), stream.length);
  } catch (error) {
    preview.isSharp = false;
    throw error;
  }
}

/** Show the picture of the first `bytes` bytes. Transparent ones need the code that writes PNG. */
function paint(preview, picture, bytes) {
  if (!allowsImages) return paintURL(preview, picture, bytes, "none");
  if (!isTransparent(picture)) return paintURL(preview, picture, bytes, `url(${bmpDataURL(picture)})`);
  return import("./png.js").then(
    ({ pngDataURL }) => paintURL(preview, picture, bytes, `url(${pngDataURL(picture)})`),
  );
}

function isTransparent({ averageColor }) {
  return averageColor.length > 7; // #rrggbbaa
}

function paintURL(preview, picture, bytes, url) {
  if (!isShown(preview)) return;
  const { image, key, place } = preview;
  const { aspectRatio } = picture;
  const { images, rule: { style } } = ruleOf(key);
  const color = isTransparent(picture) ? "transparent" : picture.averageColor;
  style.setProperty("background", `${url} ${place} ${color}`, "important");
  const hasSize = image.getAttribute("width") && image.getAttribute("height");
  style.aspectRatio = hasSize ? "" : `auto ${aspectRatio}`;
  images.add(image);
  preview.bytes = bytes;
  image.dispatchEvent(new Event("preview"));
}

/** The rule of all images with these attributes. Any `aspect-ratio` of the page overrides its own. */
function ruleOf(key) {
  let entry = rulesByKey.get(key);
  if (!entry) {
    for (const { images } of rulesByKey.values()) {
      if ([...images].every((image) => !image.isConnected)) images.forEach(release);
    }
    const values = key.split(" ").map((value) => CSS.escape(value));
    const selector = ATTRIBUTES.map((name, i) => values[i] && `[${name}="${values[i]}"]`).join("");
    const { cssRules } = sheet;
    const rule = cssRules[sheet.insertRule(`:where(img${selector}) {}`, cssRules.length)];
    rulesByKey.set(key, (entry = { rule, images: new Set() }));
  }
  return entry;
}

/** Remove the preview of an image, and its rule if no other image needs it. */
function release(image) {
  const { key } = previews.get(image) ?? {};
  previews.delete(image);
  const entry = rulesByKey.get(key);
  entry?.images.delete(image);
  if (!entry || entry.images.size) return;
  rulesByKey.delete(key);
  sheet.deleteRule([...sheet.cssRules].lastIndexOf(entry.rule));
}

/** Fetch the network where it delays nothing. */
async function sharpenWhenIdle() {
  const { saveData, effectiveType } = navigator.connection ?? {};
  if (saveData || /2g/.test(effectiveType)) return;
  if (!(await hasCachedWeights())) {
    if (document.readyState !== "complete") await new Promise((go) => addEventListener("load", go));
    for (let image; (image = [...document.images].find(isLoadingInView)); ) {
      await image.decode().catch(() => {});
    }
    await new Promise((go) => (globalThis.requestIdleCallback ?? setTimeout)(go));
    if (!previews.size && !document.querySelector(SELECTOR)) return;
  }
  await sharpen();
}

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
