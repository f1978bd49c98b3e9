/** The published model that this client decodes. */

export {
  BITSTREAM_ID, COLOR_TABLES, MODEL_ID, WEIGHTS_INTEGRITY,
} from "./model_colors.generated.js";
