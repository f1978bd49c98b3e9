"""Load scenarios of many users, with their limits."""
