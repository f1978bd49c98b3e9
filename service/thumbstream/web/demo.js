/**
 * The demo page: a picture goes to the service once, and prefixes of its stream come back.
 *
 * A `Comparison` (comparison.js) is all that belongs to one picture at one grid size; this
 * module owns the page: where pictures come from, the slider, and what went wrong.
 */

import { Comparison } from "./comparison.js";
import { countBytes } from "./panel.js";
import { Player } from "./player.js";
import * as results from "./results.js";
import { sample } from "./sample.js";
import { POSITIONS, afterKey, bytesAt, playlist, positionOf, ticks } from "./scale.js";
import { ServiceError } from "./service.js";
import * as sources from "./sources.js";

const FIRST_LOOK = 64; // bytes shown first
const UNAUTHORIZED = 401;

const element = (id) => document.getElementById(id);
const [slider, count, tickRow, play] = ["bytes", "count", "ticks", "play"].map(element);
const [alertBox, status, resultsSection] = ["alert", "status", "results"].map(element);
const [access, token] = ["access", "token"].map(element);

let file = null;
let comparison = null;
let bytes = FIRST_LOOK;
let seed = Date.now() % 1000;

const announce = (text) => (status.textContent = text);
const chosenSize = () => Number(document.querySelector("[name=size]:checked").value);

const player = new Player((playing) => {
  document.body.classList.toggle("playing", playing);
  play.querySelector("span").textContent = playing ? "Stop" : "Watch it sharpen";
  if (!playing && comparison?.length) rest();
});

/** Show the first `wanted` bytes. */
function moveTo(wanted) {
  bytes = wanted;
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

/** The slider has come to rest: drop what is no longer wanted, and say what is seen once it is. */
async function rest() {
  const [current, wanted] = [comparison, bytes];
  current.settle();
  await current.settled();
  if (comparison === current && bytes === wanted) announce(current.summary(wanted));
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
  slider.addEventListener("change", rest);
  slider.addEventListener("keydown", (event) => {
    const next = afterKey(event.key, bytes, comparison.length);
    if (next === null || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault(); // the browser would step along the slider, not along the bytes
    player.stop();
    moveTo(next);
    rest();
  });
  tickRow.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    player.stop();
    moveTo(Number(button.value));
    rest();
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
  showRendering(); // a reload may have kept the choice
}

/** A stream has arrived: the slider gets its length, and the first look is shown. */
function ready() {
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
  moveTo(Math.min(FIRST_LOOK, length));
  comparison.prefetch([...counts, ...playlist(length, 16)]);
}

/** Compress a picture and compare; the picture before it is forgotten. */
async function load(picture) {
  player.stop();
  comparison?.close();
  file = picture;
  alertBox.hidden = true;
  slider.disabled = play.disabled = true;
  setEmpty(false);
  announce("Compressing the picture");
  const current = new Comparison(element("compare"), file, chosenSize(), complain);
  comparison = current;
  try {
    await current.start({
      token: token.value, // kept nowhere but in this field
      onBusy: (seconds) =>
        announce(`The service is busy; trying again in ${Math.ceil(seconds)} seconds`),
    });
    if (comparison !== current) return;
    ready();
    await current.settled();
    if (comparison === current) announce(current.summary(bytes));
  } catch (error) {
    if (comparison !== current || error.name === "AbortError") return;
    resultsSection.hidden = true;
    if (!current.hasReference) setEmpty(true); // nothing here that could be compared
    complain(error);
    if (error.status === UNAUTHORIZED) askForToken();
  }
}

/** The service takes pictures from holders of a token only; with one, the same picture goes again. */
function askForToken() {
  access.hidden = false;
  token.select();
  token.focus();
}

function setEmpty(empty) {
  document.body.classList.toggle("empty", empty);
  element("compare").hidden = empty;
}

function complain(error) {
  if (!(error instanceof ServiceError)) console.error(error);
  const title = document.createElement("strong");
  const words = error.title ?? "Something went wrong on this page";
  const detail = error.detail ?? error.message;
  title.textContent = detail ? `${words}: ` : words;
  const code = document.createElement("code");
  code.textContent = error.code ?? "";
  alertBox.replaceChildren(title, detail, code);
  alertBox.hidden = false;
}

wireControls();
results.wire(resultsSection, announce);
sources.wire(element("file"), load);
element("sample").addEventListener("click", async () => load(await sample(seed++)));
