"""The composition root and the process that serves: uvicorn, signals, a stop in steps."""
