/** Where pictures come from: the samples of the page, the file dialog, drag and drop, the clipboard. */

import samples from "./samples.generated.js";
import { ROOT } from "./service.js";

/**
 * @typedef {object} Source a picture to compare
 * @property {string} name
 * @property {string} alt text for screen readers
 * @property {number} bytes of the file
 * @property {File} [file] of the visitor
 * @property {string} [url] of a sample, with its `width` and `height`, and its complete `stream`
 */

/** @type {Source[]} */
export const SAMPLES = samples.map(({ stream, ...sample }) => ({
  ...sample,
  url: `${ROOT}/web/samples/${sample.name}.jpg`,
  stream: Uint8Array.from(atob(stream), (letter) => letter.charCodeAt(0)),
}));

/** @param {File} file @returns {Source} */
export function sourceOf(file) {
  return { name: file.name, alt: "Your picture", bytes: file.size, file };
}

const isPicture = (file) => file.type === "" || file.type.startsWith("image/");

/** The first picture, or else the first file, which the service may reject. */
function best(files) {
  const list = [...(files ?? [])];
  return list.find(isPicture) ?? list[0];
}

/** @param {HTMLInputElement} input @param {(file: File) => void} take */
export function wire(input, take) {
  input.addEventListener("change", () => {
    const file = best(input.files);
    input.value = ""; // allows choosing the same file again
    if (file) take(file);
  });

  document.addEventListener("paste", (event) => {
    const file = best(event.clipboardData?.files);
    if (file) take(file);
  });

  let depth = 0; // dragenter and dragleave fire for every element
  const mark = (change) => {
    depth = Math.max(0, depth + change);
    document.body.classList.toggle("dragging", depth > 0);
  };
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragenter", (event) => carriesFiles(event) && mark(1));
  document.addEventListener("dragleave", (event) => carriesFiles(event) && mark(-1));
  document.addEventListener("dragover", (event) => {
    if (carriesFiles(event)) event.preventDefault();
  });
  document.addEventListener("drop", (event) => {
    mark(-depth);
    if (!carriesFiles(event)) return;
    event.preventDefault();
    const file = best(event.dataTransfer.files);
    if (file) take(file);
  });
}
