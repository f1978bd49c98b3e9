"""Measures the codec beside other formats and writes the pages of the benchmark."""
