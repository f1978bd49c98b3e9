"""The systems of arXiv 1511.06085: binary codes, one iteration after another."""
