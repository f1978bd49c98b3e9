/** What the shared worker of pool.js runs: its answer has the picture, or says nothing. */

import { decode } from "./local.js";
import "./published.js"; // it is fetched beside what asks for it, and not behind it
// Hardly ever used. But Vite makes one file of a worker, and so has to find it here; bundle.sh
// takes it out again.
import * as plain from "./plain_kernels.js";

const SQUARE = 0x5e; // a header of 32 x 32 pixels: with nothing behind it, a stream all the same

// At once: the weights are fetched, and the code runs for the first time, before it is asked to.
let turn = decode(Uint8Array.of(SQUARE), { plain }).catch(() => {});

// In turn: who waits for the weights together would else be answered together, behind the last.
onmessage = ({ data: [number, stream] }) => {
  turn = turn.then(async () =>
    postMessage([number, await decode(stream, { plain }).catch(() => {})]),
  );
};
