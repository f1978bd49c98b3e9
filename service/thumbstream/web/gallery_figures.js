/** The table of results: a row for each kind of preview, a cell for each figure. */

import { explain } from "./failure.js";

const integer = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** Formats of the figures; unknown values are a dash. */
const FORMATS = {
  bytes: (bytes) => integer.format(bytes),
  first: seconds,
  all: seconds,
  ssim: (ssim) => ssim.toFixed(3),
};

function seconds(milliseconds) {
  return milliseconds < 1000
    ? `${integer.format(milliseconds)} ms`
    : `${(milliseconds / 1000).toFixed(1)} s`;
}

/** @param {keyof FORMATS} name @param {number | null} value */
export const format = (name, value) => (value === null ? "\u2013" : FORMATS[name](value));

/** @param {HTMLTableElement} table with `data-way` at its rows, `data-figure` at their cells */
export function writer(table) {
  return (way, figures) => {
    for (const [name, value] of Object.entries(figures)) {
      const cell = table.querySelector(`[data-way="${way}"] [data-figure="${name}"]`);
      cell.textContent = format(name, value);
    }
  };
}

/** The text of a budget. */
export function budgetText(each, count) {
  return `${integer.format(each)} B per picture, ${integer.format(each * count)} B in total`;
}

/** The failed pictures and the reasons, one line each. @param {{item: File, error: Error}[]} failures */
export function failureLines(failures, limit = 4) {
  const lines = failures
    .slice(0, limit)
    .map(({ item, error }) => `${item.name}: ${explain(error).text}`);
  const more = failures.length - limit;
  return more > 0 ? [...lines, `and ${more} more`] : lines;
}
