"""Storage of streams: the `Store` protocol and its implementations.

``sqlite`` is the embedded default, ``redis`` one server, ``redis_cluster`` a Cluster; `open_store`
chooses by URL. ``reader`` reads through a cache in memory.
"""

from __future__ import annotations

from thumbstream.errors import PartialReadError, StoreError, StoreFullError, StoreUnavailableError
from thumbstream.storage.base import DEFAULT_TIMEOUT_S, Store

URL_FORMS = (
    "sqlite:///relative/path, sqlite:////absolute/path, redis://host:port/db, rediss://... (TLS), "
    "redis+cluster://host:port, rediss+cluster://... (TLS)"
)


def open_store(url: str, *, timeout: float = DEFAULT_TIMEOUT_S) -> Store:
    """The store that ``url`` names, not opened yet: call ``await store.open()`` next.

    ``timeout`` limits one operation, seconds. ValueError if ``url`` has none of the `URL_FORMS`;
    the message does not repeat the URL, which may contain a password.
    """
    scheme, separator, rest = url.partition("://")
    if separator and scheme == "sqlite":
        return _sqlite(rest, timeout)
    if separator and scheme.removesuffix("+cluster") in ("redis", "rediss"):
        return _redis(scheme, url, timeout)
    raise ValueError(f"the store's URL must have one of these forms: {URL_FORMS}")


def _sqlite(rest: str, timeout: float) -> Store:
    from thumbstream.storage.sqlite import SQLiteStore

    host, slash, path = rest.partition("/")
    if host or not slash or not path.strip("/") or path.endswith("/"):
        raise ValueError(
            "sqlite needs the path of a file: sqlite:///relative or sqlite:////absolute"
        )
    if path.startswith(":"):
        raise ValueError("sqlite needs the path of a file: a store in memory would lose streams")
    return SQLiteStore(path, busy_timeout=timeout)


def _redis(scheme: str, url: str, timeout: float) -> Store:
    # Imported here so that a service with SQLite starts faster.
    from thumbstream.storage.redis import RedisStore, Timeouts
    from thumbstream.storage.redis_cluster import RedisClusterStore

    store = RedisClusterStore if scheme.endswith("+cluster") else RedisStore
    try:
        return store(url, timeouts=Timeouts.within(timeout))
    except ValueError as error:
        raise ValueError(f"the {scheme} URL cannot be parsed") from error


__all__ = [
    "PartialReadError",
    "Store",
    "StoreError",
    "StoreFullError",
    "StoreUnavailableError",
    "open_store",
]
