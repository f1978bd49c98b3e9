/**
 * Streams of a whole page in few answers: `POST /budget` says how many bytes of each are worth it,
 * `GET /thumbs` brings them. docs/http.md of the service. It is fetched when it is first needed, and
 * handed what it shares with fetch.js, so that built modules keep one memory of what has come.
 */

const BATCH = 64; // ids that a service takes in one request unless it is told otherwise

/**
 * As `fetchThumbs` of fetch.js.
 *
 * @param {typeof import("./fetch_kept.js")} shared
 */
export async function fetchMany(shared, ids, budget, { base = "/", signal } = {}) {
  const { ResponseError, addressOf, growing, keep, latest } = shared;
  const answer = async (url, options) => {
    const response = await fetch(url, options);
    if (!response.ok) throw new ResponseError(response);
    return response;
  };
  const home = addressOf(base);
  const paths = typeof budget === "number" && ids.length
    ? await planned(ids, budget, home, answer, signal)
    : alike(ids, budget?.bytes);
  const thumbs = new Map();
  await Promise.all(paths.map(async (path) => {
    const url = new URL(path, home);
    const response = await answer(url, { signal });
    const body = await latest(growing(response), signal);
    let at = 0;
    for (const entry of url.searchParams.get("ids").split(",")) {
      const start = at + 2;
      at = start + 256 * body?.[at] + body?.[at + 1]; // behind the end: not a number from here on
      const bytes = body?.slice(start, at);
      if (!bytes?.length) continue;
      const [id] = entry.split(":");
      thumbs.set(id, bytes);
      keep(addressOf(`thumb/${id}`, home), { bytes });
    }
  }));
  return thumbs;
}

/** Paths of the batches that spend a budget where it shows most. */
async function planned(ids, total, home, answer, signal) {
  const body = JSON.stringify({ ids, total_bytes: total });
  const response = await answer(new URL("budget", home), { method: "POST", body, signal });
  const { urls, without_curve: unmeasured } = await response.json();
  if (unmeasured.length) return alike(ids, Math.floor(total / ids.length));
  return urls.map((path) => path.slice(1)); // relative to where the service is
}

/** Paths of batches with the same bytes for each; without a number, whole streams. */
function alike(ids, bytes) {
  const each = [...new Set(ids)];
  const paths = [];
  for (let i = 0; bytes !== 0 && i < each.length; i += BATCH) {
    paths.push(`thumbs?ids=${each.slice(i, i + BATCH)}${bytes ? `&bytes=${bytes}` : ""}`);
  }
  return paths;
}
