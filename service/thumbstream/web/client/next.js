/** Next.js: `import photo from "./lake.jpg?thumb"` is `{src, width, height, thumb}`. */

const QUERY = /^\?thumb$/;
const IMAGES = "next-image-loader";

/** @type {import("./next.js").default} */
export default function withThumbstream(config = {}, options = {}) {
  const use = { loader: "thumbstream/next-loader", options };
  return {
    ...config,
    turbopack: {
      ...config.turbopack,
      rules: {
        ...config.turbopack?.rules,
        "*": { condition: { query: QUERY }, loaders: [use], as: "*.js" },
      },
    },
    webpack(given, context) {
      const webpack = config.webpack?.(given, context) ?? given;
      for (const rule of webpack.module.rules) {
        if (rule.loader !== IMAGES) continue;
        const excluded = [rule.resourceQuery?.not ?? [], QUERY].flat();
        rule.resourceQuery = { ...rule.resourceQuery, not: excluded };
      }
      webpack.module.rules.push({ resourceQuery: QUERY, type: "javascript/auto", use });
      return webpack;
    },
  };
}
