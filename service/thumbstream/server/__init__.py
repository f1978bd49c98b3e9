"""The composition root, and the server process: uvicorn, signals, shutdown in three steps."""
