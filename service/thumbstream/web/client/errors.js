/** The errors of the decoder. */

/** Bytes that are not a stream, or a stream of a model that this client cannot decode. */
export class BitstreamError extends Error {
  name = "BitstreamError";
}

/** Weights that are incomplete, altered, or of an unknown format. */
export class WeightsError extends Error {
  name = "WeightsError";
}
