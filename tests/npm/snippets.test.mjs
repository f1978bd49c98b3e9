/** Type-checks the snippets of docs/javascript.md for React, Vue and Next.js. */

import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";

import { install, run, temporary } from "./project.mjs";

const PACKAGES = [
  "react@19.3.1", "@types/react@19.3.0", "next@16.4.6", "@types/node@22.19.3",
  "vue@3.5.45", "vue-tsc@3.3.14", "vite@8.3.8", "@vitejs/plugin-vue@6.0.11", "typescript@5.9.3",
];
const OPTIONS = {
  strict: true,
  noUncheckedIndexedAccess: true,
  noEmit: true,
  target: "es2022",
  module: "esnext",
  moduleResolution: "bundler",
  lib: ["es2023", "dom", "dom.iterable"],
  skipLibCheck: true, // not of the frameworks' own declarations
};
const DOCUMENT = readFileSync(new URL("../../docs/javascript.md", import.meta.url), "utf8");

/** Code by heading: `{language, text}` each. */
const snippets = Object.fromEntries(
  DOCUMENT.split(/^## /m).slice(1).map((section) => [
    section.slice(0, section.indexOf("\n")),
    [...section.matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(([, language, text]) => ({ language, text })),
  ]),
);

const folder = temporary();
before(() => install(folder, PACKAGES));

/** Write files and check them with `tsc`, or with `vue-tsc`, which checks templates too. */
function check(name, compiler, files, options = {}) {
  const home = join(folder, name);
  mkdirSync(home);
  for (const [file, text] of Object.entries(files)) writeFileSync(join(home, file), text);
  const config = { compilerOptions: { ...OPTIONS, ...options }, include: Object.keys(files) };
  writeFileSync(join(home, "tsconfig.json"), JSON.stringify(config));
  run(join(folder, "node_modules", ".bin", compiler), ["--project", home], folder);
}

/** The snippets of a heading, which must have these languages. */
function of(heading, ...languages) {
  assert.deepEqual(snippets[heading].map(({ language }) => language), languages);
  return snippets[heading].map(({ text }) => text);
}

test("React and Next.js", () => {
  const [react, image, blurred] = of("React and Next.js", "tsx", "tsx", "tsx");
  const files = { "react.tsx": react, "image.tsx": image, "blurred.tsx": blurred };
  check("react", "tsc", files, { jsx: "react-jsx", types: ["node"] });
});

test("Vue", () => {
  const [component] = of("Vue", "vue");
  const page = 'import Photo from "./photo.vue";\nexport default Photo;\n';
  check("vue", "vue-tsc", { "photo.vue": component, "page.ts": page }, { allowJs: true, checkJs: true });
});

test("finds mistakes in snippets", () => {
  const [photo] = of("React and Next.js", "tsx", "tsx", "tsx");
  const wrong = { "photo.tsx": photo.replace("loading=", "lading=") };
  assert.throws(() => check("wrong", "tsc", wrong, { jsx: "react-jsx" }), /lading/);
  const [component] = of("Vue", "vue");
  const typo = { "photo.vue": component.replace("photo.preview", "photos.preview") };
  assert.throws(() => check("typo", "vue-tsc", typo, { allowJs: true, checkJs: true }), /photos/);
});
