/** The table of the figures: a row for each way to preview, a cell for each figure. */

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** How a figure is written, by its name; one that is not known is a dash. */
const WRITTEN = {
  bytes: (bytes) => whole.format(bytes),
  first: seconds,
  all: seconds,
  ssim: (ssim) => ssim.toFixed(3),
};

function seconds(milliseconds) {
  return milliseconds < 1000
    ? `${whole.format(milliseconds)} ms`
    : `${(milliseconds / 1000).toFixed(1)} s`;
}

/** @param {keyof WRITTEN} name @param {number | null} value */
export const written = (name, value) => (value === null ? "\u2013" : WRITTEN[name](value));

/** @param {HTMLTableElement} table with `data-way` at its rows, `data-figure` at their cells */
export function writer(table) {
  return (way, figures) => {
    for (const [name, value] of Object.entries(figures)) {
      const cell = table.querySelector(`[data-way="${way}"] [data-figure="${name}"]`);
      cell.textContent = written(name, value);
    }
  };
}

/** The budget in words. */
export function budgetText(each, count) {
  return `${whole.format(each)} B a picture, ${whole.format(each * count)} B in all`;
}

/** Which pictures failed and why, in lines. @param {{item: File, error: Error}[]} failures */
export function failureLines(failures, most = 4) {
  const lines = failures
    .slice(0, most)
    .map(({ item, error }) => `${item.name}: ${error.detail || error.title || error.message}`);
  const more = failures.length - most;
  return more > 0 ? [...lines, `and ${more} more`] : lines;
}
