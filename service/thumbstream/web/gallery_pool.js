/** Many things at once, but not too many. */

/**
 * Do some work for every item, at most `limit` of them at a time, begun in their order. A failure
 * ends nothing but itself; an abort begins nothing more.
 * @template T
 * @param {T[]} items @param {number} limit
 * @param {(item: T) => Promise<void>} work
 * @param {AbortSignal} [signal]
 * @returns {Promise<{item: T, error: Error}[]>} what failed, in the order of the items
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
