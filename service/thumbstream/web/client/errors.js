/** The errors of the decoder. */

/** Bytes that are not a stream, or a stream of a model that this client cannot decode. */
export class BitstreamError extends Error {
  name = "BitstreamError";
}

/** Weights that are incomplete, altered, or of an unknown format. */
export class WeightsError extends Error {
  name = "WeightsError";
}

/** Throw a `BitstreamError` if a stream has another format than that of a model. */
export function checkFormat(id, expected, modelId) {
  if (id === null || id === expected) return; // null: too short to name it
  const service = id < expected ? ": set the option `decoder`" : "";
  throw new BitstreamError(`expected format ${expected} (${modelId}), got format ${id}${service}`);
}
