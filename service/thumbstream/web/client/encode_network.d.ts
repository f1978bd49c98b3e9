/** The encoder with the analysis network, for Node. */

import type { EncodeOptions, Pixels } from "./encode.js";

/**
 * Loads `analysis.onnx` of the published model from a path or an address. The package
 * `onnxruntime-node` must be installed.
 *
 * The encoder makes better streams than `encode`, in more time.
 */
export function loadEncoder(
  analysis: string | URL,
): Promise<(picture: Pixels, options?: EncodeOptions) => Promise<Uint8Array<ArrayBuffer>>>;
