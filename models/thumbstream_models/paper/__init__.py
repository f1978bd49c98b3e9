"""The systems of arXiv 1511.06085: networks, training, entropy model, export."""
