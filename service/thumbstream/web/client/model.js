/** The published model that this client decodes. */

export * from "./model.generated.js";
