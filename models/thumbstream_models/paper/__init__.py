"""The systems of arXiv 1511.06085: networks, training, context model, export."""
