/** Where pictures come from: the file dialog, drag and drop, the clipboard. */

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
