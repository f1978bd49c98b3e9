"""Where streams live: one small protocol, `Store`, and what speaks it.

``sqlite`` is the embedded default, ``redis`` one server or a Cluster, ``tiered`` one of them with a
Redis as a cache in front; `open_store` chooses by URL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thumbstream.errors import PartialReadError, StoreError, StoreFullError, StoreUnavailableError
from thumbstream.storage.base import Store

if TYPE_CHECKING:
    from thumbstream.storage.redis import RedisStore

URL_FORMS = (
    "sqlite:///relative/path, sqlite:////absolute/path, redis://host:port/db, rediss://... (TLS), "
    "redis+cluster://host:port, rediss+cluster://... (TLS)"
)


def open_store(url: str, *, cache: str = "", allow_eviction: bool = False) -> Store:
    """The store that ``url`` names, not opened yet: ``await store.open()`` comes next.

    ``cache`` is the URL of a Redis that is put in front of it, empty for none; ``allow_eviction``
    takes a Redis that may drop streams for a store. ValueError if a URL has none of the
    `URL_FORMS`; the message never repeats it, since it may hold a password.
    """
    store = _open_durable(url, allow_eviction)
    if not cache:
        return store
    from thumbstream.storage.redis import CACHE_PATIENCE
    from thumbstream.storage.tiered import TieredStore

    scheme = cache.partition("://")[0]
    if "://" not in cache or scheme.removesuffix("+cluster") not in ("redis", "rediss"):
        raise ValueError("the cache's URL must be one of Redis: redis://host:port/db, rediss://...")
    return TieredStore(store, _redis(scheme, cache, may_evict=True, patience=CACHE_PATIENCE))


def _open_durable(url: str, allow_eviction: bool) -> Store:
    scheme, separator, rest = url.partition("://")
    if separator and scheme == "sqlite":
        return _sqlite(rest)
    if separator and scheme.removesuffix("+cluster") in ("redis", "rediss"):
        return _redis(scheme, url, may_evict=allow_eviction)
    raise ValueError(f"the store's URL must have one of these forms: {URL_FORMS}")


def _sqlite(rest: str) -> Store:
    from thumbstream.storage.sqlite import SQLiteStore

    host, slash, path = rest.partition("/")
    if host or not slash or not path.strip("/") or path.endswith("/"):
        raise ValueError(
            "sqlite needs the path of a file: sqlite:///relative or sqlite:////absolute"
        )
    if path.startswith(":"):
        raise ValueError("sqlite needs the path of a file: a store in memory would lose streams")
    return SQLiteStore(path)


def _redis(scheme: str, url: str, **options: Any) -> RedisStore:
    # Imported here: who keeps streams in SQLite starts faster, and does not need redis-py.
    from thumbstream.storage.redis import RedisStore
    from thumbstream.storage.redis_cluster import RedisClusterStore

    kind = RedisClusterStore if scheme.endswith("+cluster") else RedisStore
    try:
        return kind(url, **options)
    except ValueError as error:
        raise ValueError(f"the {scheme} URL cannot be read") from error


__all__ = [
    "PartialReadError",
    "Store",
    "StoreError",
    "StoreFullError",
    "StoreUnavailableError",
    "open_store",
]
