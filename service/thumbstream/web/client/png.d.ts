import type { Picture } from "./index.js";

/** A PNG file of a picture. Its pixels are not compressed. */
export function png(picture: Pick<Picture, "width" | "height" | "data">): Uint8Array<ArrayBuffer>;

/** The data URL of the same file. */
export function pngDataURL(picture: Pick<Picture, "width" | "height" | "data">): string;
