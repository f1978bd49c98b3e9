/**
 * Columns of pictures at their true shapes. A picture, once placed, never moves when others come:
 * each goes below the column that is the shortest at that moment.
 */

const GAP = 0.06; // between pictures, by the width of a column: about what the style sheet has

/** @param {number} width of the grid, CSS pixels @param {boolean} wide tiles of two by two views */
export function columnsFor(width, wide) {
  const [column, fewest] = wide ? [300, 1] : [165, 2];
  return Math.max(fewest, Math.min(6, Math.floor(width / column)));
}

/** Index of the shortest column; of equal ones the first. @param {number[]} heights */
export const shortest = (heights) => heights.indexOf(Math.min(...heights));

export class Masonry {
  #columns = [];
  #heights = []; // by the width of a column
  #tiles = []; // {figure, ratio} each
  #wide = false;

  /** @param {HTMLElement} grid */
  constructor(grid) {
    this.grid = grid;
    new ResizeObserver(() => this.#reflow()).observe(grid);
    this.#reflow();
  }

  /** @param {HTMLElement} figure @param {number} ratio width to height */
  add(figure, ratio) {
    this.#tiles.push({ figure, ratio });
    this.#place(figure, ratio);
  }

  clear() {
    this.#tiles = [];
    this.#reflow(true);
  }

  set wide(wide) {
    this.#wide = wide;
    this.#reflow();
  }

  #place(figure, ratio) {
    const column = shortest(this.#heights);
    this.#heights[column] += 1 / ratio + GAP;
    this.#columns[column].append(figure);
  }

  #reflow(anew = false) {
    const count = columnsFor(this.grid.clientWidth, this.#wide);
    if (count === this.#columns.length && !anew) return;
    this.#columns = Array.from({ length: count }, () => document.createElement("div"));
    this.#heights = this.#columns.map(() => 0);
    this.grid.replaceChildren(...this.#columns);
    for (const { figure, ratio } of this.#tiles) this.#place(figure, ratio);
  }
}
