/**
 * Simulates a slow network: everything is loaded already, and is delayed as long as one link of a
 * given rate needs for it, one item after the other, without latency and header fields.
 */

/** kbit/s by the name of the choice. */
export const RATES = { none: Infinity, fast: 1600, slow: 400, "very-slow": 50 };

/**
 * When each item has arrived completely.
 * @param {number[]} sizes bytes @param {number} rate kbit/s
 * @returns {number[]} milliseconds, ascending
 */
export function arrivals(sizes, rate) {
  let at = 0;
  return sizes.map((bytes) => (at += (8 * bytes) / rate)); // 1 kbit/s is 1 bit/ms
}

/**
 * Call `arrive` for each item at its time; rejects with the signal's reason.
 * @param {number[]} sizes bytes @param {number} rate kbit/s
 * @param {(index: number) => void} arrive
 * @param {AbortSignal} signal
 */
export function transmit(sizes, rate, arrive, signal) {
  const times = arrivals(sizes, rate);
  return new Promise((done, fail) => {
    const start = performance.now();
    let next = 0;
    let timer;
    const stop = () => {
      clearTimeout(timer);
      fail(signal.reason);
    };
    const advance = () => {
      const now = performance.now() - start;
      while (next < times.length && times[next] <= now) arrive(next++);
      if (next < times.length) {
        timer = setTimeout(advance, times[next] - now);
      } else {
        signal.removeEventListener("abort", stop);
        done();
      }
    };
    if (signal.aborted) return stop();
    signal.addEventListener("abort", stop, { once: true });
    advance();
  });
}
