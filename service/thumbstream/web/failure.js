/** Errors as sentences that say what to do. */

const TRY_AGAIN = "Wait a few seconds, then try again.";
const OTHER_FILE = "Choose a JPEG, PNG, WebP, AVIF, GIF, TIFF or BMP file.";

const SENTENCES = {
  unreachable: () => "The service does not answer. Check your connection; the page continues when it is back.",
  unauthorized: () => "Uploads to this service need a token. Type it into the field and press Upload.",
  rate_limited: () => `You have uploaded many pictures in a short time. ${TRY_AGAIN}`,
  overloaded: () => `The service is busy. ${TRY_AGAIN}`,
  busy: () => `The service is busy. ${TRY_AGAIN}`,
  body_too_large: () => "The file is too large for this service. Choose a smaller one.",
  too_many_pixels: () => "The picture has too many pixels for this service. Choose a smaller one.",
  too_expensive: () => "The picture takes too long to read. Save it as a JPEG file and choose that.",
  unsupported_format: () => `The service does not read this format. ${OTHER_FILE}`,
  invalid_image: ({ detail }) => `The file cannot be read as a picture${detail ? ` (${detail})` : ""}. ${OTHER_FILE}`,
  store_full: () => "The service has no room for more streams. Ask its operator to make some.",
};
const RETRY = new Set(["rate_limited", "overloaded", "busy"]);

/**
 * @param {{title?: string, detail?: string, code?: string, status?: number, message: string}} error
 * @returns {{text: string, canRetry: boolean}}
 */
export function explain(error) {
  const { code, status = 0, title, detail, message } = error;
  if (SENTENCES[code]) return { text: SENTENCES[code](error), canRetry: RETRY.has(code) };
  if (status >= 500) return { text: `The service has a problem (${detail || title}). ${TRY_AGAIN}`, canRetry: true };
  if (status) return { text: `The service rejected the request: ${detail || title}.`, canRetry: false };
  return { text: `This page could not continue (${message}). Reload it.`, canRetry: false };
}
