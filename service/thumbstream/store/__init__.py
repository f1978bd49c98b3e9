"""Where streams live: one small protocol, `Store`, and what speaks it.

``sqlite`` is the embedded default, ``redis`` one server or a Cluster; `open_store` chooses by URL.
"""

from __future__ import annotations

from thumbstream.store.base import Store, StoreError, StoreFullError, StoreUnavailableError

URL_FORMS = (
    "sqlite:///relative/path, sqlite:////absolute/path, redis://host:port/db, rediss://... (TLS), "
    "redis+cluster://host:port, rediss+cluster://... (TLS)"
)


def open_store(url: str) -> Store:
    """The store that ``url`` names, not opened yet: ``await store.open()`` comes next.

    ValueError if ``url`` has none of the `URL_FORMS`; the message never repeats the URL, which may
    hold a password.
    """
    scheme, separator, rest = url.partition("://")
    if separator and scheme == "sqlite":
        return _sqlite(rest)
    if separator and scheme.removesuffix("+cluster") in ("redis", "rediss"):
        return _redis(scheme, url)
    raise ValueError(f"the store's URL must have one of these forms: {URL_FORMS}")


def _sqlite(rest: str) -> Store:
    from thumbstream.store.sqlite import SQLiteStore

    host, slash, path = rest.partition("/")
    if host or not slash or not path.strip("/") or path.endswith("/"):
        raise ValueError(
            "sqlite needs the path of a file: sqlite:///relative or sqlite:////absolute"
        )
    if path.startswith(":"):
        raise ValueError("sqlite needs the path of a file: a store in memory would lose streams")
    return SQLiteStore(path)


def _redis(scheme: str, url: str) -> Store:
    # Imported here: who keeps streams in SQLite starts faster, and does not need redis-py.
    from thumbstream.store.redis import RedisClusterStore, RedisStore

    try:
        return RedisClusterStore(url) if scheme.endswith("+cluster") else RedisStore(url)
    except ValueError as error:
        raise ValueError(f"the store's {scheme} URL cannot be read") from error


__all__ = [
    "Store",
    "StoreError",
    "StoreFullError",
    "StoreUnavailableError",
    "open_store",
]
