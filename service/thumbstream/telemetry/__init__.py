"""What an operator sees: metrics, logs with request ids, traces."""
