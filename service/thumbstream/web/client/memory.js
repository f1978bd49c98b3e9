/**
 * A stack allocator for the memory of the kernels: weights at the bottom, then what one picture needs.
 */

const ALIGNMENT = 8; // floats: kernels read and write eight at once, and a few after an end
const LARGE = 128;

/**
 * Floats to reserve for a plane of `samples`. For large planes it is an odd multiple of 8: planes a
 * power of two apart would compete for the same lines of the processor's cache.
 */
export const planeSize = (samples) =>
  (Math.ceil(samples / ALIGNMENT) * ALIGNMENT) | (samples > LARGE ? ALIGNMENT : 0);

/**
 * @param {import("./kernels.js").Kernels} kernels
 * @returns {{kernels: object, allocate: (count: number) => number,
 *   storeFloats: (numbers: ArrayLike<number>) => number, freeAfter: <T>(run: () => T) => T}} `allocate`
 *   returns the offset of `count` zeros, `storeFloats` that of a copy of the numbers; `freeAfter`
 *   frees what `run` allocates, and returns its result
 */
export function createMemory(kernels) {
  let top = ALIGNMENT;
  const allocate = (count) => {
    const start = top;
    top += planeSize(count) + ALIGNMENT;
    if (top > kernels.f.length) kernels.reserve(2 * top);
    kernels.f.fill(0, start, top);
    return start;
  };
  return {
    kernels,
    allocate,
    storeFloats(numbers) {
      const start = allocate(numbers.length);
      kernels.f.set(numbers, start);
      return start;
    },
    freeAfter(run) {
      const before = top;
      try {
        return run();
      } finally {
        top = before;
      }
    },
  };
}
