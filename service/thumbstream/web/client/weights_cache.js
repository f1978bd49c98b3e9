/** Whether Cache Storage has the weights: a page can see that without a request. */

import { WEIGHTS_INTEGRITY } from "./model.js";

export const PREFIX = "thumbstream ";
export const NAME = PREFIX + WEIGHTS_INTEGRITY.slice(7, 17); // the start of the hash: load() checks all

/** Missing on pages that are served over plain http, and in some private windows. */
export const hasCachedWeights = async () =>
  globalThis.caches?.has(NAME).catch(() => false) ?? false;
