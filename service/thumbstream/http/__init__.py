"""The rim: HTTP and nothing else. Parameters, fields and bodies in; replies and problems out.

`hotpath` is raw ASGI and serves prefixes of stored streams; `api` is FastAPI and serves the rest;
both stand on `service`, what one running service holds. Errors of the floors below get their status
in `problems` alone.
"""
