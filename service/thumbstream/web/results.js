/** Lines to copy: the id, a request, an image address and the inlined preview. */

import { decodePath } from "./service.js";

const PREVIEW_SCALE = 8; // an <img> of 256 pixels from a grid of 32

/** The copyable lines for a stream at a byte count, by name. */
export function lines(answer, bytes, origin) {
  return {
    id: answer.id,
    curl: `curl '${origin}${answer.url}?bytes=${bytes}' --output preview.bin`,
    image: `${origin}${decodePath(answer.id, bytes, PREVIEW_SCALE)}`,
    preview: answer.prefix_base64,
  };
}

export function write(section, answer, bytes) {
  for (const [name, text] of Object.entries(lines(answer, bytes, location.origin))) {
    section.querySelector(`[data-line="${name}"] code`).textContent = text;
  }
}

/** Without a secure context there is no clipboard API: select the text and use execCommand. */
async function copy(code) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(code);
    return document.execCommand("copy");
  }
}

/** Connect the copy buttons; `announce` speaks to screen readers. */
export function wire(section, announce) {
  for (const row of section.querySelectorAll("[data-line]")) {
    const button = row.querySelector("button");
    button.addEventListener("click", async () => {
      const done = await copy(row.querySelector("code"));
      button.textContent = done ? "Copied" : "Selected";
      announce(`${row.dataset.name} ${done ? "copied" : "selected"}`);
      setTimeout(() => (button.textContent = "Copy"), 1500);
    });
  }
}
