/**
 * The landing page: prefixes of a stream next to other previews of the same bytes.
 *
 * comparison.js has the previews of one picture at one grid size; this module has the controls of the
 * page, and shows its errors.
 */

import { Comparison } from "./comparison.js";
import { explain } from "./failure.js";
import { countBytes } from "./panel.js";
import { paint } from "./pictures.js";
import { Player } from "./player.js";
import * as results from "./results.js";
import { POSITIONS, afterKey, bytesAt, playlist, positionOf, ticks } from "./scale.js";
import { client, images, reachable } from "./service.js";
import * as sources from "./sources.js";
import { Throttle } from "./throttle.js";

const INITIAL_BYTES = 24;
const PICK_BYTES = 48; // of the previews on the buttons
const PHOTOGRAPH_AFTER = 1200; // ms until the live image loads it, so that its preview is seen

const element = (id) => document.getElementById(id);
const [slider, count, tickRow, play] = ["bytes", "count", "ticks", "play"].map(element);
const [alertBox, status, resultsSection] = ["alert", "status", "results"].map(element);
const [access, token, retry, live] = ["access", "token", "retry", "live"].map(element);
const [throttled, rate, again, link] = ["throttle", "rate", "again", "link"].map(element);
const panels = document.querySelector(".panels");
const picks = [...document.querySelectorAll(".pick")];
const LINK_HINT = link.textContent;

let source = null;
let comparison = null;
let bytes = INITIAL_BYTES;
let waiting = new AbortController(); // for the service to be reachable

const announce = (text) => (status.textContent = text);
const chosenSize = () => Number(document.querySelector("[name=size]:checked").value);

const throttle = new Throttle(panels);

const player = new Player((playing) => {
  document.body.classList.toggle("playing", playing);
  play.querySelector("span").textContent = playing ? "Stop" : "Watch it sharpen";
  if (!playing && comparison?.length) onRest();
});

/** Show the first `prefixLength` bytes. */
function moveTo(prefixLength) {
  bytes = prefixLength;
  showPreviews();
  slider.value = positionOf(bytes, comparison.length);
  slider.style.setProperty("--at", slider.value / POSITIONS);
  slider.setAttribute("aria-valuetext", `${bytes} of ${countBytes(comparison.length)}`);
  count.textContent = `${bytes} of ${comparison.length}`;
  for (const button of tickRow.children) {
    button.setAttribute("aria-pressed", String(Number(button.value) === bytes));
  }
  comparison.show(bytes);
}

/** The slider rests: cancel the requests for other frames, and announce the frame once it is shown. */
async function onRest() {
  const [current, requested] = [comparison, bytes];
  current.cancelOthers();
  writeResults(current, requested);
  await current.shown();
  if (comparison === current && bytes === requested) announce(current.summary(requested));
}

/** Show how this picture is used, and the image itself. */
async function writeResults(current, prefixLength) {
  const { id, url, prefix_base64: prefix } = current.answer;
  const complete = (await current.opened) ?? Uint8Array.from(atob(prefix ?? ""), (letter) => letter.charCodeAt(0));
  if (comparison !== current || bytes !== prefixLength) return;
  const { width = 3, height = 2, url: photograph } = current.photograph ?? {};
  const snippet = results.snippet({
    stream: complete.subarray(0, prefixLength),
    src: id && location.origin + url,
    full: current.source.url ? location.origin + current.source.url : current.source.name,
    alt: current.source.alt,
    width,
    height,
  });
  results.write(resultsSection, { snippet });
  element("addresses").hidden = !id;
  if (id) results.write(resultsSection, results.addressLines(current.answer, prefixLength, location.origin));
  showLive(snippet, photograph);
}

let showing; // timer of the live image's photograph

/** Show the image of a snippet: its preview first, so that it is seen, then the photograph. */
function showLive(snippet, photograph) {
  const { firstChild } = new DOMParser().parseFromString(snippet, "text/html").body;
  firstChild.removeAttribute("src"); // the visitor's own file has no address
  live.replaceChildren(document.adoptNode(firstChild));
  images().then(({ sharpen }) => sharpen(), () => {});
  clearTimeout(showing);
  showing = setTimeout(() => photograph && firstChild.setAttribute("src", photograph), PHOTOGRAPH_AFTER);
  element("reload").onclick = () => showLive(snippet, photograph);
}

function showRendering() {
  panels.dataset.rendering = document.querySelector("[name=rendering]:checked").value;
}

/** End a simulated load. */
function showPreviews() {
  throttle.stop();
  link.textContent = LINK_HINT;
}

/** Load the photograph over the simulated connection. */
async function showLoad() {
  const { photograph, previewBytes } = comparison;
  rate.disabled = again.disabled = !throttled.checked;
  if (!throttled.checked || !photograph) return showPreviews();
  player.stop();
  const size = `${Math.ceil(photograph.bytes / 1000)} KB`;
  link.textContent = `Loading the photograph, ${size}, over ${rate.selectedOptions[0].text}.`;
  const duration = await throttle.load(photograph, previewBytes, Number(rate.value));
  const seconds = (duration / 1000).toFixed(1);
  link.textContent = `The photograph of ${size} took ${seconds} s. Until then, its visitors saw the previews.`;
  announce(link.textContent);
}

function wireControls() {
  slider.addEventListener("input", () => {
    player.stop();
    moveTo(bytesAt(Number(slider.value), comparison.length));
  });
  slider.addEventListener("change", onRest);
  slider.addEventListener("keydown", (event) => {
    const next = afterKey(event.key, bytes, comparison.length);
    if (next === null || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault(); // the default steps are those of the slider, not bytes
    player.stop();
    moveTo(next);
    onRest();
  });
  tickRow.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    player.stop();
    moveTo(Number(button.value));
    onRest();
  });
  play.addEventListener("click", () => {
    if (player.playing) return player.stop();
    const counts = { smooth: playlist(comparison.length), still: ticks(comparison.length) };
    comparison.prefetch(counts.smooth);
    player.play(counts, (next) => comparison.has(next), moveTo);
  });
  for (const control of [throttled, rate]) control.addEventListener("change", showLoad);
  again.addEventListener("click", showLoad);
  element("size").addEventListener("change", () => load(source));
  element("rendering").addEventListener("change", showRendering);
  access.addEventListener("submit", (event) => {
    event.preventDefault();
    load(source);
  });
  retry.addEventListener("click", () => load(source));
  for (const button of picks) {
    button.addEventListener("click", () => load(sources.SAMPLES[button.dataset.sample]));
  }
  showRendering(); // a reload may restore the choice
  throttled.checked = false;
}

/** There is a stream: enable the controls, and show the first preview. */
function showStream() {
  const { length } = comparison;
  const counts = ticks(length);
  tickRow.replaceChildren(
    ...counts.map((value) => {
      const button = document.createElement("button");
      button.type = "button";
      button.value = String(value);
      button.textContent = value === length ? "All" : String(value);
      button.style.setProperty("--at", positionOf(value, length) / POSITIONS);
      button.setAttribute("aria-label", value === length ? `All ${length} bytes` : `${value} bytes`);
      return button;
    }),
  );
  slider.disabled = play.disabled = throttled.disabled = false;
  moveTo(Math.min(bytes, length));
}

/** Compare a picture, which replaces the previous one. */
async function load(next) {
  player.stop();
  showPreviews();
  waiting.abort();
  comparison?.close();
  source = next;
  alertBox.hidden = true;
  slider.disabled = play.disabled = throttled.disabled = true;
  for (const button of picks) {
    button.setAttribute("aria-pressed", String(sources.SAMPLES[button.dataset.sample] === next));
  }
  if (next.file) announce("Uploading the picture");
  const current = new Comparison(element("compare"), next, chosenSize(), showError);
  comparison = current;
  try {
    await current.start({
      bytes,
      token: token.value, // stored in this field only
      onBusy: (seconds) =>
        announce(`The service is busy. Next attempt in ${Math.ceil(seconds)} seconds`),
    });
    if (comparison !== current) return;
    access.hidden = true;
    showStream();
    writeResults(current, bytes);
    await current.shown();
    if (comparison !== current) return;
    announce(current.summary(bytes));
    current.prefetch(ticks(current.length));
    if (throttled.checked) showLoad();
  } catch (error) {
    if (comparison !== current || error.name === "AbortError") return;
    showError(error);
  }
}

async function showError(error) {
  const { text, canRetry } = explain(error);
  if (!error.code) console.error(error);
  alertBox.querySelector("p").textContent = text;
  retry.hidden = !canRetry;
  alertBox.hidden = false;
  if (error.code === "unauthorized") askForToken();
  if (error.code !== "unreachable") return;
  waiting = new AbortController();
  await reachable(waiting.signal).then(() => load(source), () => {});
}

/** The service requires a token: ask for it, and upload the same picture again. */
function askForToken() {
  access.hidden = false;
  token.select();
  token.focus();
}

/** Show previews on the buttons. */
async function showPicks() {
  const { decodeInBackground } = await client();
  for (const button of picks) {
    const { stream } = sources.SAMPLES[button.dataset.sample];
    const { width, height, data } = await decodeInBackground(stream.subarray(0, PICK_BYTES));
    const canvas = document.createElement("canvas");
    paint(canvas, new ImageData(data, width, height));
    button.querySelector(".thumb").append(canvas);
  }
}

wireControls();
results.wire(resultsSection, announce);
results.write(resultsSection, results.installLines(location.origin));
sources.wire(element("file"), (file) => load(sources.sourceOf(file)));
load(sources.SAMPLES[0]);
showPicks().catch(() => {}); // the buttons have texts
