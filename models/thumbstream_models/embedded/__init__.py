"""The product codec: transform, embedded ternary quantization, integer context model."""
