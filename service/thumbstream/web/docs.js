/** The page at /docs: the routes of openapi.json with their parameters and responses. */

import { ROOT } from "./service.js";

function make(name, ...children) {
  const element = document.createElement(name);
  element.append(...children);
  return element;
}

/** A table; its rows are lists of strings, the first of which is code. */
function table(title, rows) {
  if (!rows.length) return [];
  const lines = rows.map(([name, ...cells]) => {
    const first = make("td", make("code", name));
    return make("tr", first, ...cells.map((cell) => make("td", cell)));
  });
  const body = make("table", ...lines);
  body.className = `row${rows[0].length}`;
  return [make("h3", title), body];
}

const describeOne = ({ type, $ref, ...limits }) =>
  [type ?? $ref?.split("/").pop(), ...Object.entries(limits).map(([name, value]) => `${name} ${JSON.stringify(value)}`)]
    .filter(Boolean)
    .join(", ");

/** The type and limits of a JSON schema, in short. */
function describe(schema = {}) {
  const { anyOf, description, title, ...rest } = schema;
  const variants = (anyOf ?? [rest]).filter(({ type }) => type !== "null");
  return variants.map(describeOne).join(" or ");
}

function section(method, path, { summary, description, parameters, requestBody, responses }) {
  const types = Object.keys(requestBody?.content ?? {});
  return make(
    "section",
    make("h2", make("code", `${method.toUpperCase()} ${ROOT}${path}`)),
    make("p", description ?? summary ?? ""),
    ...table(
      "Parameters",
      (parameters ?? []).map((parameter) => [
        parameter.name,
        parameter.in,
        parameter.description ?? "",
        describe(parameter.schema),
      ]),
    ),
    ...table("Body", types.map((type) => [type])),
    ...table(
      "Responses",
      Object.entries(responses).map(([status, response]) => [status, response.description]),
    ),
  );
}

const list = document.getElementById("routes");
try {
  const response = await fetch(`${ROOT}/openapi.json`);
  const { paths } = await response.json();
  const routes = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => section(method, path, operation)),
  );
  list.replaceChildren(...routes);
} catch (error) {
  list.replaceChildren(make("p", `openapi.json cannot be read (${error.message}). Check your connection and reload the page.`));
}
