/**
 * Streams of a page in few requests: `POST /budget` distributes the bytes, `GET /thumbs` returns the
 * streams. docs/http.md of the service.
 *
 * The module is fetched when it is needed, and takes what it shares with fetch.js as an argument, so
 * that built modules have one cache.
 */

const BATCH = 64; // ids that a service accepts in one request by default
const MAX_BATCH_BYTES = 2 ** 22; // 64 streams of at most 2^16 bytes

/**
 * As `fetchThumbs` of fetch.js.
 *
 * @param {typeof import("./fetch_cache.js")} shared
 */
export async function fetchMany(shared, ids, budget, { base = "/", signal } = {}) {
  const { absoluteURL, checkResponse, lastValue, put, readPrefixes } = shared;
  const thumbs = new Map();
  if (!ids.length || budget === 0) return thumbs;
  const home = absoluteURL(base);
  const paths = typeof budget === "number"
    ? await planPaths(shared, ids, budget, home, signal)
    : batchPaths(ids, budget?.bytes);
  await Promise.all(paths.map(async (path) => {
    const url = new URL(path, home);
    const response = await fetch(url, { signal });
    checkResponse(response);
    const prefixes = readPrefixes(response, undefined, MAX_BATCH_BYTES);
    const body = (await lastValue(prefixes, signal)) ?? [];
    let at = 0;
    for (const entry of url.searchParams.get("ids").split(",")) {
      const start = at + 2;
      at = start + 256 * body[at] + body[at + 1]; // NaN from the end of the body on
      const bytes = body.slice(start, at);
      if (!bytes.length) continue;
      const [id] = entry.split(":");
      thumbs.set(id, bytes);
      put(absoluteURL(`thumb/${id}`, home), { bytes });
    }
  }));
  return thumbs;
}

/** Paths of the batches that the service plans for a budget. */
async function planPaths({ ResponseError, lastValue, readPrefixes }, ids, total, home, signal) {
  const body = JSON.stringify({ ids, total_bytes: total });
  const response = await fetch(new URL("budget", home), { method: "POST", body, signal });
  const text = await lastValue(readPrefixes(response), signal);
  try {
    const { urls, without_curve: unmeasured } = await new Response(text).json();
    if (unmeasured.length) return batchPaths(ids, Math.floor(total / ids.length));
    return urls.map((path) => path.slice(1)); // relative to the address of the service
  } catch {
    throw new ResponseError(response, "a plan");
  }
}

/** Paths of batches with the same number of bytes per id, or with complete streams. */
function batchPaths(ids, bytes) {
  const unique = [...new Set(ids)];
  const paths = [];
  for (let i = 0; bytes !== 0 && i < unique.length; i += BATCH) {
    paths.push(`thumbs?ids=${unique.slice(i, i + BATCH)}${bytes ? `&bytes=${bytes}` : ""}`);
  }
  return paths;
}
