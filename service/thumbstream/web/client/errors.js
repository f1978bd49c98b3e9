/** What can go wrong, one class per way to fail. */

/** Bytes that are not a thumbstream stream, or one that this client cannot read. */
export class BitstreamError extends Error {
  name = "BitstreamError";
}

/** Weights that are incomplete, altered, or of an unknown format. */
export class WeightsError extends Error {
  name = "WeightsError";
}
