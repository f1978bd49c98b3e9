/** Chosen or dropped files and folders. */

export const MAX_PICTURES = 300; // they are all in the page's memory

const SUFFIX = /\.(avif|bmp|gif|jpe?g|png|tiff?|webp)$/i;

/** Whether a file may be a picture. Other files of a folder are ignored. */
export const isPicture = ({ name, type }) => (type ? type.startsWith("image/") : SUFFIX.test(name));

/** The pictures among some files, sorted by name; numbers in names are compared as numbers. */
export function picturesOf(files) {
  const order = new Intl.Collator("en", { numeric: true }).compare;
  return [...files].filter(isPicture).sort((a, b) => order(a.name, b.name)).slice(0, MAX_PICTURES);
}

const promised = (object, method) =>
  new Promise((done, fail) => object[method](done, fail));

/**
 * All files of a dropped file or folder, and of the folders in it.
 * @param {FileSystemEntry} entry @returns {Promise<File[]>} without unreadable files
 */
export async function filesOf(entry) {
  try {
    if (entry.isFile) return [await promised(entry, "file")];
    const reader = entry.createReader();
    const files = [];
    for (let part; (part = await promised(reader, "readEntries")).length; ) {
      for (const inner of part) files.push(...(await filesOf(inner))); // in parts of 100
    }
    return files;
  } catch {
    return [];
  }
}

async function dropped({ items, files }) {
  // Entries are available during the event only, so all are read before the first await.
  const entries = [...items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...files];
  return (await Promise.all(entries.map(filesOf))).flat();
}

/** @param {HTMLInputElement[]} inputs @param {(files: File[]) => void} take */
export function wire(inputs, take) {
  for (const input of inputs) {
    input.addEventListener("change", () => {
      const files = [...input.files];
      input.value = ""; // allows choosing the same files again
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
