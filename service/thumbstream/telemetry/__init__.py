"""Metrics, logs with request ids, and traces, for operators."""
