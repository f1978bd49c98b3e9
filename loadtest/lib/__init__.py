"""What benchmarks and scenarios share: servers, load, synthetic pictures."""
