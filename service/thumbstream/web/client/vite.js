/** Vite plugin: `import photo from "./lake.jpg?thumb"` is `{src, width, height, thumb}`. */

import { pictureModule } from "./encode_file.js";

const QUERY = /\?thumb$/;

/** @type {import("./vite.js").default} */
export default function thumbstream(options) {
  return {
    name: "thumbstream",
    enforce: "pre", // before Vite makes an asset of the file
    config: () => ({ optimizeDeps: { exclude: ["thumbstream"] } }), // it finds its files by their URLs
    resolveId: {
      filter: { id: QUERY },
      async handler(source, importer) {
        if (!QUERY.test(source)) return; // Vite before 6.3 has no filters
        const file = await this.resolve(source.replace(QUERY, ""), importer, { skipSelf: true });
        return file && `${file.id}?thumb`;
      },
    },
    load: {
      filter: { id: QUERY },
      handler: (id) => (QUERY.test(id) ? pictureModule(id.replace(QUERY, ""), options) : undefined),
    },
  };
}
