"""The default codec: embedded ternary quantisation, integer contexts, one range coder."""
