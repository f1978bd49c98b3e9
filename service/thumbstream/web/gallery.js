/**
 * The gallery: uploads the visitor's pictures, and shows a page of previews.
 *
 * gallery_show.js shows and measures them; this module has the controls of the page, and shows its
 * errors.
 */


import { explain } from "./failure.js";
import * as alert from "./gallery_alert.js";
import { failureLines, writer } from "./gallery_figures.js";
import { MAX_PICTURES, isPicture, picturesOf, wire } from "./gallery_files.js";
import { RATES } from "./gallery_network.js";
import { Picture } from "./gallery_picture.js";
import { forEach } from "./gallery_pool.js";
import { Show } from "./gallery_show.js";
import { Slider } from "./gallery_slider.js";
import { DECODER, Tile } from "./gallery_tile.js";
import { client, reachable } from "./service.js";
import { SAMPLES } from "./sources.js";

const PARALLEL_UPLOADS = 3;
const INITIAL_BUDGET = 64; // bytes per picture
const FOR_ALL = new Set(["unauthorized", "unreachable"]); // errors of every upload

const element = (id) => document.getElementById(id);
const [split, again, status, progress] = ["split", "again", "status", "progress"].map(element);
const [access, token] = ["access", "token"].map(element);

const library = client();
const decode = async (stream) => (await library).decodeInBackground(stream, { decoder: DECODER });
const show = new Show(writer(element("figures")), decode);
const grid = element("grid");

let uploading = new AbortController();
let failed = [];
let hasFailed = false; // the previews could not be shown
let waiting = new AbortController(); // for the service to be reachable

const chosen = (name) => document.querySelector(`[name=${name}]:checked`).value;
const counted = (number) => `${number} ${number === 1 ? "picture" : "pictures"}`;
const setStatus = (text) => (status.textContent = text);

/** Run `work`, and report its error until it succeeds, unless a later action aborted it. */
async function run(work) {
  try {
    await work();
    if (hasFailed) alert.hide();
    hasFailed = false;
  } catch (error) {
    if (error.name === "AbortError") return;
    document.body.dataset.state = "shown";
    hasFailed = true;
    showError("The previews cannot be shown", [explain(error).text]);
  }
}

const play = () =>
  run(async () => {
    document.body.dataset.state = "playing";
    await show.play({ rate: RATES[chosen("network")], full: chosen("view") === "stream" });
    document.body.dataset.state = "shown";
  });

async function distribute() {
  const planned = await show.budget(slider.each * show.tiles.length);
  const isStored = show.tiles.every(({ picture }) => picture.isStored);
  split.textContent = planned
    ? "The service gives the bytes to the pictures that gain most."
    : `In equal shares${isStored ? ": some streams have no curve" : ". Your own pictures share them by what each gains"}.`;
}

const slider = new Slider(element("budget"), element("count"), INITIAL_BUDGET, {
  onMove: () => (document.body.dataset.state = "spending"),
  onRest: () => run(async () => {
    await distribute();
    await show.show();
    document.body.dataset.state = "shown";
  }),
});

const showError = (title, lines) => alert.showError(title, lines, failed.length > 0);

/** Upload pictures, which replace the previous ones. */
function take(files) {
  const pictures = picturesOf(files);
  if (!pictures.length) {
    return showError("No pictures", [`None of the ${files.length} files is a picture. Choose JPEG, PNG, WebP or AVIF files.`]);
  }
  show.clear();
  grid.replaceChildren();
  grid.classList.remove("few");
  const isTooMany = files.filter(isPicture).length > MAX_PICTURES;
  upload(pictures, isTooMany ? [`Only the first ${MAX_PICTURES} are uploaded.`] : []);
}

async function upload(files, remarks = []) {
  uploading.abort();
  waiting.abort();
  show.stop();
  slider.stop();
  const { signal } = (uploading = new AbortController());
  failed = [];
  alert.hide();
  document.body.dataset.state = "uploading";
  setEnabled(false);
  let done = 0;
  const showProgress = (text) => {
    setStatus(text);
    progress.hidden = false;
    Object.assign(progress, { value: done, max: files.length });
  };
  showProgress(`Uploading ${counted(files.length)}`);
  const ids = new Set(show.tiles.map(({ picture }) => picture.id));
  const before = ids.size;
  const left = new Set(files);
  const failures = await forEach(files, PARALLEL_UPLOADS, async (file) => {
    try {
      const picture = await Picture.upload(file, signal, { token: token.value });
      signal.throwIfAborted();
      left.delete(file);
      if (!ids.has(picture.id)) await add(picture, file, ids);
    } catch (error) {
      if (FOR_ALL.has(error.code)) uploading.abort(error); // the others would fail too
      throw error;
    } finally {
      if (!signal.aborted) showProgress(`${++done} of ${counted(files.length)}`);
    }
  }, signal);
  if (signal.aborted && signal.reason.code === "unauthorized") return askForToken([...left]);
  if (signal.aborted && signal.reason.code === "unreachable") return waitForService([...left]);
  if (signal.aborted) return;
  access.hidden = true;
  failed = failures.map(({ item }) => item);
  if (failures.length) {
    const title = `${failures.length} of ${counted(files.length)} could not be uploaded`;
    showError(title, [...failureLines(failures), ...remarks]);
  } else if (remarks.length) {
    showError("Too many pictures", remarks);
  }
  await run(() => showPage(signal, files.length - failures.length - (ids.size - before)));
}

/** Show a picture from its stream; then open its file, for the comparison. */
async function add(picture, file, ids) {
  ids.add(picture.id);
  const tile = new Tile(picture);
  show.tiles.push(tile);
  grid.append(tile.figure);
  tile.preview(picture.stream.length).catch(() => {}); // reported when the page is shown
  await picture.open(await file);
  tile.showOriginal();
}

/**
 * Fetch the streams of the uploaded pictures, and show the page with the current budget.
 * @param {number} duplicates how many pictures had the same stream as another one
 */
async function showPage(signal, duplicates) {
  progress.hidden = true;
  const pictures = show.tiles.map(({ picture }) => picture);
  setStatus(`${counted(pictures.length)}${duplicates ? `; ${duplicates} removed as duplicates` : ""}`);
  if (!pictures.length) return (document.body.dataset.state = "shown");
  const { fetchThumbs } = await library;
  const streams = await fetchThumbs(pictures.map(({ id }) => id), {}, { signal });
  for (const picture of pictures) picture.stream = streams.get(picture.id) ?? picture.stream;
  await showTiles(pictures);
}

/** Show the page with the current budget. */
async function showTiles(pictures) {
  slider.fit(pictures.map(({ stream }) => stream.length));
  await distribute();
  setEnabled(true);
  await play();
}

function setEnabled(enabled) {
  slider.input.disabled = again.disabled = !enabled;
}

/** The service requires a token: ask for it, and upload the same pictures again. */
function askForToken(files) {
  failed = files;
  alert.showError("The service requires a token", ["Type it into the field above and press Upload."], false);
  setStatus("");
  progress.hidden = true;
  document.body.dataset.state = "shown";
  access.hidden = false;
  token.focus();
}

/** Continue with these pictures when the service answers again. */
async function waitForService(files) {
  failed = files;
  showError("The service does not answer", ["Check your connection; the upload continues when it is back."]);
  waiting = new AbortController();
  await reachable(waiting.signal).then(() => upload(files), () => {});
}

function showView() {
  grid.classList.toggle("compare", chosen("view") === "all");
}

/** Show the photographs of the page, until the visitor chooses others. */
async function showSamples() {
  const { signal } = uploading;
  const ids = new Set();
  await Promise.all(SAMPLES.map((sample) => {
    const file = fetch(sample.url).then((response) => response.blob());
    return add(Picture.ofSample(sample), file, ids);
  }));
  signal.throwIfAborted();
  await run(() => showTiles(show.tiles.map(({ picture }) => picture)));
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
wire([element("files"), element("folder")], take);
showView(); // a reload may restore the choice
showSamples().catch(() => {}); // the page works without them
