/** The page of examples: what its buttons do. The examples themselves are in examples/. */

import { sample } from "./sample.js";
import { compress } from "./service.js";
import { spend } from "./examples/budget.js";

const GRID = 32; // pixels, long side
const BUDGET = 480; // bytes, of six pictures
const FIRST_SEED = 3; // of the drawings whose first bytes are in the page
const PREVIEW_SEEN = 900; // ms before the picture follows

const after = (milliseconds) => new Promise((go) => setTimeout(go, milliseconds));

/** What a button does, which cannot be pressed again meanwhile. */
function wire(name, work) {
  const button = document.querySelector(`[data-action=${name}]`);
  button.addEventListener("click", async () => {
    button.disabled = true;
    await work().catch(({ title, message }) => tell(button, title ?? message));
    button.disabled = false;
  });
}

const tell = (button, text) => (button.nextElementSibling.value = text);

wire("fade", async () => {
  const element = document.querySelector("#fade");
  const { full } = element;
  element.full = null;
  await after(PREVIEW_SEEN);
  element.full = full;
  await element.decode();
});

wire("spend", async () => {
  const elements = [...document.querySelectorAll("#many thumb-stream")];
  const button = document.querySelector("[data-action=spend]");
  const ids = [];
  for (const i of elements.keys()) {
    tell(button, `Uploading ${i + 1} of ${elements.length} drawings`);
    const { id } = await compress(await sample(FIRST_SEED + i), GRID);
    ids.push(id);
  }
  await spend(ids, BUDGET, elements);
  await Promise.all(elements.map((element) => element.decode()));
  tell(button, `Each has got ${elements.map(({ bytes }) => bytes).join(", ")} bytes.`);
});
