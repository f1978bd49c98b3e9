/**
 * The gallery: the visitor's own pictures go to the service, and a page of previews comes back.
 *
 * `Show` (gallery_show.js) is what is seen and measured; this module owns the page: where pictures
 * come from, the controls, and what went wrong.
 */

import { decodeInBackground, fetchThumbs } from "/client/element.min.js";

import { budgetText, failureLines, writer } from "./gallery_figures.js";
import { MOST, isPicture, picturesOf, wire } from "./gallery_files.js";
import { Masonry } from "./gallery_masonry.js";
import { RATES } from "./gallery_network.js";
import { Picture } from "./gallery_picture.js";
import { forEach } from "./gallery_pool.js";
import { samples, shapeOf } from "./gallery_samples.js";
import { Show } from "./gallery_show.js";
import { DECODER, Tile } from "./gallery_tile.js";
import { POSITIONS, afterKey, bytesAt, positionOf } from "./scale.js";

const AT_ONCE = 3; // uploads
const FIRST_BUDGET = 64; // bytes a picture
const SAMPLES_SHOWN = 8;
const SAMPLES_TAKEN = 24;
const REST = 120; // ms without a move of the slider before the service is asked
const UNAUTHORIZED = 401;

const element = (id) => document.getElementById(id);
const [slider, count, split, again] = ["budget", "count", "split", "again"].map(element);
const [alertBox, status, progress] = ["alert", "status", "progress"].map(element);
const [access, token] = ["access", "token"].map(element);

const decode = (stream) => decodeInBackground(stream, { decoder: DECODER });
const show = new Show(writer(element("figures")), decode);
const masonry = new Masonry(element("grid"));

let uploading = new AbortController();
let failed = [];
let longest = 0; // bytes of the longest stream
let each = FIRST_BUDGET;
let resting;

const chosen = (name) => document.querySelector(`[name=${name}]:checked`).value;
const counted = (number) => `${number} ${number === 1 ? "picture" : "pictures"}`;
const say = (text) => (status.textContent = text);

/** Do what was ordered; what a later order ended is no error. */
async function order(work) {
  try {
    await work();
  } catch (error) {
    if (error.name === "AbortError") return;
    document.body.dataset.state = "shown";
    complain("The previews cannot be shown", [error.message]);
  }
}

const play = () =>
  order(async () => {
    document.body.dataset.state = "playing";
    await show.play({ rate: RATES[chosen("network")], full: chosen("view") === "stream" });
    document.body.dataset.state = "shown";
  });

async function spend() {
  const planned = await show.budget(each * show.tiles.length);
  split.textContent = planned
    ? "Split by the service to where they show most."
    : "In equal shares: there are no curves to split them by.";
}

function moveTo(bytes) {
  each = bytes;
  slider.value = positionOf(each, longest);
  slider.style.setProperty("--at", slider.value / POSITIONS);
  count.textContent = budgetText(each, show.tiles.length);
  slider.setAttribute("aria-valuetext", count.textContent);
}

/** The slider has moved: show what that buys, once it rests for a moment. */
function respend(bytes) {
  moveTo(bytes);
  document.body.dataset.state = "spending";
  clearTimeout(resting);
  resting = setTimeout(() => order(async () => {
    await spend();
    await show.show();
    document.body.dataset.state = "shown";
  }), REST);
}

/** Take a folder's pictures; those before are forgotten. */
function take(files) {
  const pictures = picturesOf(files);
  if (!pictures.length) return complain("There is no picture", [`among ${files.length} files`]);
  show.clear();
  masonry.clear();
  const isTooMany = files.filter(isPicture).length > MOST;
  upload(pictures, isTooMany ? [`Only the first ${MOST} are taken.`] : []);
}

async function upload(files, remarks = []) {
  uploading.abort();
  show.stop();
  clearTimeout(resting);
  const { signal } = (uploading = new AbortController());
  failed = [];
  alertBox.hidden = true;
  document.body.dataset.state = "uploading";
  setEnabled(false);
  let done = 0;
  const tell = (text) => {
    say(text);
    progress.hidden = false;
    Object.assign(progress, { value: done, max: files.length });
  };
  tell(`Uploading ${counted(files.length)}`);
  const seen = new Set(show.tiles.map(({ picture }) => picture.id));
  const before = seen.size;
  const failures = await forEach(files, AT_ONCE, async (file) => {
    try {
      const picture = await Picture.of(file, signal, { token: token.value });
      signal.throwIfAborted();
      if (!seen.has(picture.id)) add(picture, seen);
    } catch (error) {
      if (error.status === UNAUTHORIZED) uploading.abort(error); // the others would fail as well
      throw error;
    } finally {
      if (!signal.aborted) tell(`${++done} of ${counted(files.length)}`);
    }
  }, signal);
  if (signal.aborted && signal.reason.status === UNAUTHORIZED) return askForToken(files);
  if (signal.aborted) return;
  failed = failures.map(({ item }) => item);
  if (failures.length) {
    const title = `${failures.length} of ${counted(files.length)} could not be uploaded`;
    complain(title, [...failureLines(failures), ...remarks]);
  } else if (remarks.length) {
    complain("There are more pictures", remarks);
  }
  await order(() => ready(signal, files.length - failures.length - (seen.size - before)));
}

function add(picture, seen) {
  seen.add(picture.id);
  const tile = new Tile(picture);
  show.tiles.push(tile);
  masonry.add(tile.figure, picture.ratio);
  tile.preview(picture.stream.length).catch(() => {}); // told when the page is shown as a whole
}

/**
 * All pictures are there: their streams come, and the page is shown at the first budget.
 * @param {number} twice how many had the stream of another, with which they are shown
 */
async function ready(signal, twice) {
  progress.hidden = true;
  const pictures = show.tiles.map(({ picture }) => picture);
  say(`${counted(pictures.length)}${twice ? `; ${twice} came more than once` : ""}`);
  if (!pictures.length) return (document.body.dataset.state = "shown");
  const streams = await fetchThumbs(pictures.map(({ id }) => id), {}, { signal });
  for (const picture of pictures) picture.stream = streams.get(picture.id) ?? picture.stream;
  longest = Math.max(...pictures.map(({ stream }) => stream.length));
  moveTo(Math.min(each, longest));
  await spend();
  setEnabled(true);
  await play();
}

function setEnabled(enabled) {
  slider.disabled = again.disabled = !enabled;
}

/** The service takes pictures from holders of a token only; with one, the same ones go again. */
function askForToken(files) {
  failed = files;
  complain("The service asks for a token", ["Enter it above, and press Enter."]);
  progress.hidden = true;
  document.body.dataset.state = "shown";
  access.hidden = false;
  token.focus();
}

function complain(title, lines) {
  element("alert-title").textContent = title;
  element("alert-lines").replaceChildren(...lines.map((line) => {
    const row = document.createElement("li");
    row.textContent = line;
    return row;
  }));
  element("retry").hidden = !failed.length;
  alertBox.hidden = false;
}

function showView() {
  const both = chosen("view") === "all";
  element("grid").classList.toggle("compare", both);
  masonry.wide = both;
}

/** Before the first upload: a few drawn pictures, which go nowhere. */
async function decorate() {
  let seed = 0;
  for await (const file of samples(SAMPLES_SHOWN)) {
    if (document.body.dataset.state !== "empty") return;
    const figure = document.createElement("figure");
    const image = Object.assign(new Image(), { alt: "A drawn lake", className: "drawn" });
    const shape = shapeOf(seed++);
    image.style.aspectRatio = String(shape);
    image.src = URL.createObjectURL(file);
    image.onload = () => URL.revokeObjectURL(image.src);
    figure.append(image);
    masonry.add(figure, shape);
  }
}

async function takeSamples() {
  const files = [];
  for await (const file of samples(SAMPLES_TAKEN)) {
    files.push(file);
    say(`Drawing ${files.length} of ${SAMPLES_TAKEN} pictures`);
  }
  take(files);
}

slider.addEventListener("input", () => respend(bytesAt(Number(slider.value), longest)));
slider.addEventListener("keydown", (event) => {
  const next = afterKey(event.key, each, longest);
  if (next === null || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault(); // the browser would step along the slider, not along the bytes
  respend(next);
});
again.addEventListener("click", play);
element("network").addEventListener("change", () => again.disabled || play());
element("view").addEventListener("change", () => {
  showView();
  if (!again.disabled) play();
});
element("dismiss").addEventListener("click", () => (alertBox.hidden = true));
element("retry").addEventListener("click", () => upload(failed));
access.addEventListener("submit", (event) => {
  event.preventDefault();
  upload(failed);
});
element("samples").addEventListener("click", takeSamples);
wire([element("files"), element("folder")], take);
showView(); // a reload may have kept the choice
decorate();
