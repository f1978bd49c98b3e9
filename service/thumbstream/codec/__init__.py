"""Pixels to progressive streams and back. No HTTP, no environment, no clock."""
