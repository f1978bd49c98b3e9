"""The product codec: one transform for all rates, embedded ternary planes, integer contexts."""
