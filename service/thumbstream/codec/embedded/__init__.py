"""Default family: one transform, an embedded ternary quantizer and an integer context model."""
