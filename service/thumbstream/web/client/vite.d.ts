/** Vite plugin for `import photo from "./lake.jpg?thumb"`: Vite, SvelteKit, Astro, Nuxt. */

/// <reference path="./pictures.d.ts" />
import type { FileOptions } from "./encode_file.js";

/** Options of the streams; `maxBytes` is 24 by default. */
export default function thumbstream(options?: FileOptions): { name: string; enforce: "pre" };
