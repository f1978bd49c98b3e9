"""The HTTP interface: parses requests, calls the layers below, builds responses and errors.

`app` is the ASGI application. `hot_path` serves prefixes of stored streams as raw ASGI; `routes`
serves all other paths with FastAPI. Both modules use `services`, the parts of one running service.
Only `errors` assigns an HTTP status to the errors of the layers below.
"""
