/**
 * The demo page: uploads a picture, and shows prefixes of its stream next to other previews.
 *
 * comparison.js has the previews of one picture at one grid size; this module has the controls of the
 * page, and shows its errors.
 */

import { Comparison } from "./comparison.js";
import { countBytes } from "./panel.js";
import { Player } from "./player.js";
import * as results from "./results.js";
import { sample } from "./sample.js";
import { POSITIONS, afterKey, bytesAt, playlist, positionOf, ticks } from "./scale.js";
import { ServiceError } from "./service.js";
import * as sources from "./sources.js";

const INITIAL_BYTES = 64;
const UNAUTHORIZED = 401;

const element = (id) => document.getElementById(id);
const [slider, count, tickRow, play] = ["bytes", "count", "ticks", "play"].map(element);
const [alertBox, status, resultsSection] = ["alert", "status", "results"].map(element);
const [access, token] = ["access", "token"].map(element);

let file = null;
let comparison = null;
let bytes = INITIAL_BYTES;
let seed = Date.now() % 1000;

const announce = (text) => (status.textContent = text);
const chosenSize = () => Number(document.querySelector("[name=size]:checked").value);

const player = new Player((playing) => {
  document.body.classList.toggle("playing", playing);
  play.querySelector("span").textContent = playing ? "Stop" : "Watch it sharpen";
  if (!playing && comparison?.length) onRest();
});

/** Show the first `prefixLength` bytes. */
function moveTo(prefixLength) {
  bytes = prefixLength;
  slider.value = positionOf(bytes, comparison.length);
  slider.style.setProperty("--at", slider.value / POSITIONS);
  slider.setAttribute("aria-valuetext", `${bytes} of ${countBytes(comparison.length)}`);
  count.textContent = countBytes(bytes);
  for (const button of tickRow.children) {
    button.setAttribute("aria-pressed", String(Number(button.value) === bytes));
  }
  comparison.show(bytes);
  results.write(resultsSection, comparison.answer, bytes);
}

/** The slider rests: cancel the requests for other frames, and announce the frame once it is shown. */
async function onRest() {
  const [current, requested] = [comparison, bytes];
  current.cancelOthers();
  await current.shown();
  if (comparison === current && bytes === requested) announce(current.summary(requested));
}

function showRendering() {
  const { value } = document.querySelector("[name=rendering]:checked");
  document.querySelector(".panels").dataset.rendering = value;
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
  element("size").addEventListener("change", () => file && load(file));
  element("rendering").addEventListener("change", showRendering);
  access.addEventListener("submit", (event) => {
    event.preventDefault();
    load(file);
  });
  showRendering(); // a reload may restore the choice
}

/** The stream is stored: enable the slider, and show the first preview. */
function showStream() {
  const { length } = comparison;
  const counts = ticks(length);
  tickRow.replaceChildren(
    ...counts.map((value) => {
      const button = document.createElement("button");
      button.type = "button";
      button.value = String(value);
      button.textContent = value === length ? "Full" : String(value);
      button.style.setProperty("--at", positionOf(value, length) / POSITIONS);
      button.setAttribute("aria-label", value === length ? `All ${length} bytes` : `${value} bytes`);
      return button;
    }),
  );
  slider.disabled = play.disabled = false;
  resultsSection.hidden = false;
  moveTo(Math.min(INITIAL_BYTES, length));
  comparison.prefetch([...counts, ...playlist(length, 16)]);
}

/** Upload and compare a picture, which replaces the previous one. */
async function load(picture) {
  player.stop();
  comparison?.close();
  file = picture;
  alertBox.hidden = true;
  slider.disabled = play.disabled = true;
  setEmpty(false);
  announce("Uploading the picture");
  const current = new Comparison(element("compare"), file, chosenSize(), showError);
  comparison = current;
  try {
    await current.start({
      token: token.value, // stored in this field only
      onBusy: (seconds) =>
        announce(`The service is busy. Next attempt in ${Math.ceil(seconds)} seconds`),
    });
    if (comparison !== current) return;
    showStream();
    await current.shown();
    if (comparison === current) announce(current.summary(bytes));
  } catch (error) {
    if (comparison !== current || error.name === "AbortError") return;
    resultsSection.hidden = true;
    if (!current.hasReference) setEmpty(true); // nothing to compare
    showError(error);
    if (error.status === UNAUTHORIZED) askForToken();
  }
}

/** The service requires a token: ask for it, and upload the same picture again. */
function askForToken() {
  access.hidden = false;
  token.select();
  token.focus();
}

function setEmpty(empty) {
  document.body.classList.toggle("empty", empty);
  element("compare").hidden = empty;
}

function showError(error) {
  if (!(error instanceof ServiceError)) console.error(error);
  const title = document.createElement("strong");
  const heading = error.title ?? "An error occurred on this page";
  const detail = error.detail ?? error.message;
  title.textContent = detail ? `${heading}: ` : heading;
  const code = document.createElement("code");
  code.textContent = error.code ?? "";
  alertBox.replaceChildren(title, detail, code);
  alertBox.hidden = false;
}

wireControls();
results.wire(resultsSection, announce);
sources.wire(element("file"), load);
element("sample").addEventListener("click", async () => load(await sample(seed++)));
