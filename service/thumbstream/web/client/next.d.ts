/** Next.js: `import photo from "./lake.jpg?thumb"`, with Turbopack and with webpack. */

/// <reference path="./pictures.d.ts" />
import type { EncodeOptions } from "./encode.js";

/** The configuration with what such imports need. `maxBytes` of the streams is 24 by default. */
export default function withThumbstream<Config extends object>(config?: Config, options?: Omit<EncodeOptions, "original">): Config;
