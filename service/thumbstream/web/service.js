/** The requests of the pages, and the errors of the service. */

/** Path below which the service is served, without a slash at its end: usually empty. */
export const ROOT = import.meta.url.startsWith("http")
  ? new URL("..", import.meta.url).pathname.slice(0, -1)
  : "";

/** The client library, from the address in the page: it has the version, so nothing is redirected. */
export const client = () => import(document.getElementById("client").href);

/** The script that shows previews of images, from the same address. */
export const images = () =>
  import(new URL("images.min.js", document.getElementById("client").href).href);

const MAX_WAIT = 10; // seconds; a longer Retry-After is reported as an error

const RECONNECT = 2; // seconds between two attempts to reach the service

/** Codes of errors without one, which a proxy may send. */
const CODES = { 401: "unauthorized", 413: "body_too_large", 429: "rate_limited" };

const TYPES_BY_SUFFIX = {
  avif: "image/avif",
  bmp: "image/bmp",
  gif: "image/gif",
  jpeg: "image/jpeg",
  jpg: "image/jpeg",
  png: "image/png",
  tif: "image/tiff",
  tiff: "image/tiff",
  webp: "image/webp",
};

/** An error response, with the fields of `application/problem+json` if it has them. */
export class ServiceError extends Error {
  constructor(title, { detail = "", code = "", status = 0 } = {}) {
    super(title);
    this.name = "ServiceError";
    this.title = title;
    this.detail = detail;
    this.code = code;
    this.status = status;
  }

  static async of(response) {
    const problem = await response.json().catch(() => ({}));
    return new ServiceError(problem.title ?? `The service returned status ${response.status}`, {
      detail: problem.detail,
      code: problem.code ?? CODES[response.status],
      status: response.status,
    });
  }
}

/** Seconds of a Retry-After header (a number or a date), by default 1. */
export function retryAfter(header, now = Date.now()) {
  if (header === null || header.trim() === "") return 1;
  const seconds = Number(header);
  if (Number.isFinite(seconds)) return Math.max(0, seconds);
  const date = Date.parse(header);
  return Number.isNaN(date) ? 1 : Math.max(0, (date - now) / 1000);
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, seconds * 1000);
    signal.addEventListener("abort", stop, { once: true });
  });
}

/** fetch() with one retry after status 429. */
async function request(url, options, onBusy = () => {}) {
  for (let attempt = 0; ; attempt++) {
    let response;
    try {
      response = await fetch(url, options);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ServiceError("The service cannot be reached", { code: "unreachable" });
    }
    if (response.ok) return response;
    const wait = retryAfter(response.headers.get("Retry-After"));
    if (response.status !== 429 || attempt > 0 || wait > MAX_WAIT) {
      throw await ServiceError.of(response);
    }
    onBusy(wait);
    await pause(wait, options.signal);
  }
}

/** The media type of a file; browsers leave it empty for some suffixes. */
export function mediaType(file) {
  const suffix = (file.name ?? "").split(".").pop().toLowerCase();
  return file.type || TYPES_BY_SUFFIX[suffix] || "application/octet-stream";
}

/**
 * Upload a picture. @returns the JSON of POST /compress
 * @param {{onBusy?: (seconds: number) => void, token?: string}} [options]
 */
export async function compress(file, size, signal, { onBusy, token } = {}) {
  const headers = { "Content-Type": mediaType(file) };
  if (token) headers.Authorization = `Bearer ${token}`;
  const response = await request(
    `${ROOT}/compress?size=${size}`,
    { method: "POST", body: file, headers, signal },
    onBusy,
  );
  return response.json();
}

/** The path of the first `bytes` bytes of a stream as a PNG. */
export function decodePath(id, bytes, scale = 1) {
  const enlarge = scale > 1 ? `&scale=${scale}` : "";
  return `${ROOT}/decode/${id}?bytes=${bytes}&format=png${enlarge}`;
}

/** The first `bytes` bytes of a stream, decoded by the service: a PNG blob. */
export async function decode(id, bytes, signal) {
  const response = await request(decodePath(id, bytes), { signal });
  return response.blob();
}

/** Resolves when the service answers again. Rejects with the signal's reason. */
export async function reachable(signal) {
  for (;;) {
    await pause(RECONNECT, signal);
    const response = await fetch(`${ROOT}/healthz`, { cache: "no-store", signal }).catch(() => null);
    signal.throwIfAborted();
    if (response?.ok) return;
  }
}
