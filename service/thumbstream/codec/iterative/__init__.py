"""The systems of arXiv 1511.06085: binary codes, iteration after iteration."""
