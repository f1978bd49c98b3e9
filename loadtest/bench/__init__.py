"""Benchmarks: one program each, `python -m loadtest.bench.NAME`."""
