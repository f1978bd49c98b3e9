/** Parallel work with a limit. */

/**
 * Run `work` for each item, at most `limit` at a time, started in order. A failure does not stop the
 * others; after an abort no more items are started.
 * @template T
 * @param {T[]} items @param {number} limit
 * @param {(item: T) => Promise<void>} work
 * @param {AbortSignal} [signal]
 * @returns {Promise<{item: T, error: Error}[]>} the failures, in the order of the items
 */
export async function forEach(items, limit, work, signal) {
  const failures = [];
  let next = 0;
  const lane = async () => {
    while (next < items.length && !signal?.aborted) {
      const place = next++;
      try {
        await work(items[place]);
      } catch (error) {
        failures[place] = { item: items[place], error };
      }
    }
  };
  await Promise.all(Array.from({ length: limit }, lane));
  return failures.filter(Boolean);
}
