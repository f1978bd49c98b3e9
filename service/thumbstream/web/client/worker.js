/** What the shared worker of pool.js runs. */

import { decode } from "./index.js";

onmessage = async ({ data: { number, stream } }) => {
  const { name, message, ...picture } = await decode(stream).catch((error) => error);
  postMessage(name ? { number, error: { name, message } } : { number, picture });
};
