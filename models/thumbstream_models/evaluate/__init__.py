"""Measures rate and distortion of codecs, and writes the pages of the benchmark."""
