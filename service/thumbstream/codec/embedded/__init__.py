"""The default family: one transform, embedded ternary quantizer, integer context model."""
