/** The published weights on servers: part of the code, so that no bundler has to find a file. */

import { fromText } from "./bytes.js";

/** @returns {Promise<Response>} */
export async function fetchWeights() {
  const { WEIGHTS } = await import("./weights.generated.js");
  return new Response(fromText(atob(WEIGHTS)));
}

export function keepWeights() {}
