"""Benchmarks, load scenarios and the report of both; see README.md."""
