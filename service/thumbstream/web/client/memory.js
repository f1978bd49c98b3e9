/**
 * The kernels' memory, given out from the bottom: weights first, then what one picture needs.
 */

const APART = 8; // floats: kernels read and write so many at once, also a little behind an end
const LARGE = 128;

/**
 * Floats from one plane of so many samples to the next: of large planes an odd number of times 8,
 * because those a power of two apart would take each other's place in the processor's caches.
 */
export const planeOf = (samples) =>
  (Math.ceil(samples / APART) * APART) | (samples > LARGE ? APART : 0);

/**
 * @param {import("./kernels.js").Kernels} kernels
 * @returns {{kernels: object, take: (count: number) => number,
 *   place: (numbers: ArrayLike<number>) => number, borrow: <T>(run: () => T) => T}} `take` says
 *   where so many zeros are, `place` where these numbers are from now on; `borrow` gives back what
 *   `run` takes, and returns what it returns
 */
export function memoryOf(kernels) {
  let top = APART;
  const take = (count) => {
    const start = top;
    top += planeOf(count) + APART;
    if (top > kernels.f.length) kernels.reserve(2 * top);
    kernels.f.fill(0, start, top);
    return start;
  };
  return {
    kernels,
    take,
    place(numbers) {
      const start = take(numbers.length);
      kernels.f.set(numbers, start);
      return start;
    },
    borrow(run) {
      const before = top;
      try {
        return run();
      } finally {
        top = before;
      }
    },
  };
}
