/** The mean color of a picture from the first bytes of its stream, without the weights. */

import { firstLook } from "./first_look.js";

/** @type {import("./index.js").averageColor} */
export const averageColor = (stream) => firstLook(stream).averageColor;
