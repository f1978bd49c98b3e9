"""The models of arXiv 1511.06085 for thumbstream: one folder for each, found by an entry point."""
