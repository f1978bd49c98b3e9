"""Storage of streams: the `Store` protocol and its implementations.

The implementations are ``sqlite`` (the default, an embedded database), ``redis`` (one server) and
``redis_cluster``. `open_store` selects one by the scheme of a URL. ``reader`` reads from a store
through a cache in memory.
"""

from __future__ import annotations

from thumbstream.errors import PartialReadError, StoreError, StoreFullError, StoreUnavailableError
from thumbstream.storage.base import (
    DEFAULT_TIMEOUT_S,
    LabelPage,
    LabelRemoval,
    Record,
    Store,
    StreamInfo,
    check_label,
)

URL_FORMS = (
    "sqlite:///relative/path, sqlite:////absolute/path, redis://host:port/db, rediss://... (TLS), "
    "redis+cluster://host:port, rediss+cluster://... (TLS)"
)

CREATE_OPTION = "?create=true"
"""End of a SQLite URL with which the folder of the file is created as well."""


def open_store(
    url: str,
    *,
    timeout: float = DEFAULT_TIMEOUT_S,
    expiring: bool = False,
    create: bool = True,
    read_only: bool = False,
) -> Store:
    """Return the store at ``url`` without opening it: call ``await store.open()`` next.

    ``timeout`` is the longest duration of one operation in seconds; for SQLite, it is the longest
    wait for a lock of another process. ``expiring``: whether streams may expire, so that a Redis
    server may not drop keys that do. ``create``: whether a SQLite file that does not exist is
    created; its folder is created only if the URL ends in ``?create=true``. ``read_only``: open an
    existing SQLite file for reading, without a change to it; Redis ignores this. Raises ValueError
    if ``url`` has none of the `URL_FORMS`. The error message does not contain ``url``, because
    there may be a password in it.
    """
    scheme, separator, rest = url.partition("://")
    if separator and scheme == "sqlite":
        return _sqlite(rest, timeout, create=create and not read_only, read_only=read_only)
    if separator and scheme.removesuffix("+cluster") in ("redis", "rediss"):
        return _redis(scheme, url, timeout, expiring=expiring)
    raise ValueError(f"the store's URL must have one of these forms: {URL_FORMS}")


def _sqlite(rest: str, timeout: float, *, create: bool, read_only: bool) -> Store:
    from thumbstream.storage.sqlite import SQLiteStore

    create_folder = create and rest.endswith(CREATE_OPTION)
    rest = rest.removesuffix(CREATE_OPTION)
    host, slash, path = rest.partition("/")
    if host or not slash or not path.strip("/") or path.endswith("/"):
        raise ValueError(
            "sqlite needs the path of a file: sqlite:///relative or sqlite:////absolute"
        )
    if path.startswith(":"):
        raise ValueError("sqlite needs the path of a file: a store in memory would lose streams")
    return SQLiteStore(
        path,
        busy_timeout=timeout,
        create=create,
        create_folder=create_folder,
        read_only=read_only,
    )


def _redis(scheme: str, url: str, timeout: float, *, expiring: bool) -> Store:
    # Imported here so that a service with SQLite starts faster.
    from thumbstream.storage.redis import RedisStore, Timeouts
    from thumbstream.storage.redis_cluster import RedisClusterStore

    store = RedisClusterStore if scheme.endswith("+cluster") else RedisStore
    try:
        return store(url, timeouts=Timeouts.within(timeout), expiring=expiring)
    except ValueError as error:
        raise ValueError(f"the {scheme} URL cannot be parsed") from error


__all__ = [
    "CREATE_OPTION",
    "LabelPage",
    "LabelRemoval",
    "PartialReadError",
    "Record",
    "Store",
    "StoreError",
    "StoreFullError",
    "StoreUnavailableError",
    "StreamInfo",
    "check_label",
    "open_store",
]
