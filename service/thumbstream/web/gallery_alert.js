/** The error message of the gallery. */

const element = (id) => document.getElementById(id);

function row(text) {
  const line = document.createElement("li");
  line.textContent = text;
  return line;
}

/** @param {string} title @param {string[]} lines @param {boolean} canRepeat whether a retry is possible */
export function showError(title, lines, canRepeat) {
  element("alert-title").textContent = title;
  element("alert-lines").replaceChildren(...lines.map(row));
  element("retry").hidden = !canRepeat;
  element("alert").hidden = false;
}

export const hide = () => (element("alert").hidden = true);

/** @param {() => void} repeat called for a retry */
export function wire(repeat) {
  element("dismiss").addEventListener("click", hide);
  element("retry").addEventListener("click", repeat);
}
