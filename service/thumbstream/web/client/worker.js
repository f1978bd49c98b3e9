/** What the shared worker of pool.js runs. It is loaded as it is, and so names the built module. */

import { decode } from "./thumbstream.min.js";

addEventListener("message", async ({ data: { number, stream } }) => {
  try {
    const picture = await decode(stream);
    postMessage({ number, picture }, [picture.data.buffer]);
  } catch ({ name, message }) {
    postMessage({ number, error: { name, message } });
  }
});
