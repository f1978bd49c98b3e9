/** What the shared worker of pool.js runs: its answer has the picture, or says nothing. */

import { decode } from "./local.js";
// Hardly ever used. But Vite makes one file of a worker, and so has to find it here; bundle.sh
// takes it out again.
import * as plain from "./plain_kernels.js";

onmessage = async ({ data: [number, stream] }) =>
  postMessage([number, await decode(stream, { plain }).catch(() => {})]);
