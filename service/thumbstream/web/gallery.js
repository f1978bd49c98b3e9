/**
 * The gallery: the visitor's own pictures go to the service, and a page of previews comes back.
 *
 * `Show` (gallery_show.js) is what is seen and measured; this module owns the page: where pictures
 * come from, the controls, and what went wrong.
 */

import { decodeInBackground, fetchThumbs } from "/client/element.min.js";

import * as alert from "./gallery_alert.js";
import { failureLines, writer } from "./gallery_figures.js";
import { MOST, isPicture, picturesOf, wire } from "./gallery_files.js";
import { Masonry } from "./gallery_masonry.js";
import { RATES } from "./gallery_network.js";
import { Picture } from "./gallery_picture.js";
import { forEach } from "./gallery_pool.js";
import { decorate, samples } from "./gallery_samples.js";
import { Show } from "./gallery_show.js";
import { Slider } from "./gallery_slider.js";
import { DECODER, Tile } from "./gallery_tile.js";

const AT_ONCE = 3; // uploads
const FIRST_BUDGET = 64; // bytes a picture
const SAMPLES_TAKEN = 24;
const UNAUTHORIZED = 401;

const element = (id) => document.getElementById(id);
const [split, again, status, progress] = ["split", "again", "status", "progress"].map(element);
const [access, token] = ["access", "token"].map(element);

const decode = (stream) => decodeInBackground(stream, { decoder: DECODER });
const show = new Show(writer(element("figures")), decode);
const masonry = new Masonry(element("grid"));

let uploading = new AbortController();
let failed = [];

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
  const planned = await show.budget(slider.each * show.tiles.length);
  split.textContent = planned
    ? "Split by the service to where they show most."
    : "In equal shares: there are no curves to split them by.";
}

/** The slider has moved: show what that buys. */
const slider = new Slider(element("budget"), element("count"), FIRST_BUDGET, {
  moved: () => (document.body.dataset.state = "spending"),
  rested: () => order(async () => {
    await spend();
    await show.show();
    document.body.dataset.state = "shown";
  }),
});

const complain = (title, lines) => alert.complain(title, lines, failed.length > 0);

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
  slider.stop();
  const { signal } = (uploading = new AbortController());
  failed = [];
  alert.hide();
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
  slider.fit(pictures.map(({ stream }) => stream.length));
  await spend();
  setEnabled(true);
  await play();
}

function setEnabled(enabled) {
  slider.input.disabled = again.disabled = !enabled;
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

function showView() {
  const both = chosen("view") === "all";
  element("grid").classList.toggle("compare", both);
  masonry.wide = both;
}

async function takeSamples() {
  const files = [];
  for await (const file of samples(SAMPLES_TAKEN)) {
    files.push(file);
    say(`Drawing ${files.length} of ${SAMPLES_TAKEN} pictures`);
  }
  take(files);
}

again.addEventListener("click", play);
element("network").addEventListener("change", () => again.disabled || play());
element("view").addEventListener("change", () => {
  showView();
  if (!again.disabled) play();
});
alert.wire(() => upload(failed));
access.addEventListener("submit", (event) => {
  event.preventDefault();
  upload(failed);
});
element("samples").addEventListener("click", takeSamples);
wire([element("files"), element("folder")], take);
showView(); // a reload may have kept the choice
decorate(masonry, () => document.body.dataset.state === "empty");
