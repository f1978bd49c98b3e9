/** Runs in the shared worker of background.js: answers each request with the picture, or undefined. */

import { decodeLocally as decode } from "./decode_local.js";
// Hardly ever used, but Vite bundles a worker into one file and must find it. bundle.sh removes it.
import * as plain from "./plain_kernels.js";

const SQUARE = 0x5e; // the header of a 32 x 32 picture, which is a stream of its own

// Fetch the weights and run the code once before the first request.
let queue = decode(Uint8Array.of(SQUARE), { plain }).catch(() => {});

// One after the other: otherwise all requests that wait for the weights are answered after the last.
onmessage = ({ data: [number, stream] }) => {
  queue = queue.then(async () =>
    postMessage([number, await decode(stream, { plain }).catch(() => {})]),
  );
};
