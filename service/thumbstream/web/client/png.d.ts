import type { Picture } from "./index.js";

/** A PNG file of a picture, written in memory. Pixels are stored, not packed. */
export function png(picture: Pick<Picture, "width" | "height" | "data">): Uint8Array<ArrayBuffer>;

/** A data URL of the same file. */
export function pngDataURL(picture: Pick<Picture, "width" | "height" | "data">): string;
