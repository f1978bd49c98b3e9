/** Lines to copy: the script, an upload, the image, and the addresses of a stored stream. */

import { ROOT, decodePath } from "./service.js";

const PREVIEW_SCALE = 8; // an <img> of 256 pixels from a grid of 32

const toBase64 = (bytes) => btoa(String.fromCharCode(...bytes));
const escape = (text) => text.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("<", "&lt;");

/**
 * The image with its preview as HTML.
 * @param {{stream: Uint8Array, src?: string, full: string, alt: string, width: number, height: number}}
 *   picture stream: the bytes that are part of the page; src: address of the stored stream
 */
export function snippet({ stream, src, full, alt, width, height }) {
  const lines = [`src="${escape(full)}"`, `alt="${escape(alt)}" width="${width}" height="${height}"`];
  lines.push(`data-thumb="${toBase64(stream)}"`);
  if (src) lines.push(`data-thumb-src="${escape(src)}"`);
  return `<img\n  ${lines.join("\n  ")}>`;
}

/** The lines that are the same for every picture, by name. */
export function installLines(origin) {
  return {
    install: `<script type="module" src="${origin}${ROOT}/client/images.min.js"></script>`,
    upload: `curl --data-binary @photo.jpg -H "Content-Type: image/jpeg" ${origin}${ROOT}/compress`,
  };
}

/** The addresses of a stored stream at a byte count, by name. */
export function addressLines(answer, bytes, origin) {
  return {
    id: answer.id,
    curl: `curl '${origin}${answer.url}?bytes=${bytes}' --output preview.bin`,
    image: `${origin}${decodePath(answer.id, bytes, PREVIEW_SCALE)}`,
  };
}

/** Show lines in their places. */
export function write(section, lines) {
  for (const [name, text] of Object.entries(lines)) {
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
