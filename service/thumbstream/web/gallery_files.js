/** The ways in which many pictures come to the gallery: chosen, or dropped, folders with all below. */

export const MOST = 300; // pictures at once: all are held in the page's memory

const SUFFIX = /\.(avif|bmp|gif|jpe?g|png|tiff?|webp)$/i;

/** Whether a file may be a picture: folders hold other things too, which are not worth an error. */
export const isPicture = ({ name, type }) => (type ? type.startsWith("image/") : SUFFIX.test(name));

/** The pictures among some files, in the order of their names: numbers in them as numbers. */
export function picturesOf(files) {
  const order = new Intl.Collator("en", { numeric: true }).compare;
  return [...files].filter(isPicture).sort((a, b) => order(a.name, b.name)).slice(0, MOST);
}

const promised = (object, method) =>
  new Promise((done, fail) => object[method](done, fail));

/**
 * All files of a dropped file or folder, and of the folders in it.
 * @param {FileSystemEntry} entry @returns {Promise<File[]>} without what cannot be read
 */
export async function filesOf(entry) {
  try {
    if (entry.isFile) return [await promised(entry, "file")];
    const reader = entry.createReader();
    const files = [];
    for (let part; (part = await promised(reader, "readEntries")).length; ) {
      for (const inner of part) files.push(...(await filesOf(inner))); // they come in parts of 100
    }
    return files;
  } catch {
    return [];
  }
}

async function dropped({ items, files }) {
  // Entries are there during the event only: all are asked for before the first wait.
  const entries = [...items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...files];
  return (await Promise.all(entries.map(filesOf))).flat();
}

/** @param {HTMLInputElement[]} inputs @param {(files: File[]) => void} take */
export function wire(inputs, take) {
  for (const input of inputs) {
    input.addEventListener("change", () => {
      const files = [...input.files];
      input.value = ""; // so that the same ones can be chosen again
      if (files.length) take(files);
    });
  }
  const carriesFiles = ({ dataTransfer }) => dataTransfer?.types.includes("Files");
  const mark = (dragging) => document.body.classList.toggle("dragging", dragging);
  document.addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    mark(true);
  });
  document.addEventListener("dragleave", ({ relatedTarget }) => relatedTarget || mark(false));
  document.addEventListener("drop", async (event) => {
    mark(false);
    if (!carriesFiles(event)) return;
    event.preventDefault();
    take(await dropped(event.dataTransfer));
  });
}
