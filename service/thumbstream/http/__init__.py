"""HTTP and nothing else: parameters, header fields and bodies in, responses and errors out.

`app` is the application: `hot_path` serves prefixes of stored streams as raw ASGI, `routes` the
rest with FastAPI. Both use `services`, the parts of one running service. Errors of the layers below
get their status in `errors` alone.
"""
