"""Telemetry for operators: Prometheus metrics, logs with request ids, OpenTelemetry traces."""
