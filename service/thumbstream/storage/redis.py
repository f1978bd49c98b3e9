"""Stores streams in Redis, Valkey or another server that speaks the Redis protocol.

A stream is a string under ``thumb:<id>``, and its curve one under ``thumb:~<id>``. The hash
``thumb@{thumb:<id>}`` has its record; its key is in the slot of the stream's key, so that a script
can change both at once in a Cluster as well. ``thumb-label:{<label>}`` is a sorted set of the ids
of a label. It is in a slot of its own, so it may have ids that do not have the label any more, but
no id that has the label is missing: see `RedisStore._put` and `RedisStore._unindex`.
`RedisClusterStore` is for a Redis Cluster.

The settings of the server decide how durable an acknowledged stream is. With ``appendonly yes``
and ``appendfsync always`` the stream is on disk; with ``appendfsync everysec`` a crash may lose
the writes of the last second; without an append-only file a crash loses all writes since the last
snapshot. Replication is asynchronous: a failover may lose writes that the old primary had
acknowledged but not yet replicated.

A server with ``maxmemory`` and an ``allkeys-*`` policy evicts streams that it has acknowledged,
so this store rejects such a server. With ``noeviction`` a full server refuses writes. So does a
full server with a ``volatile-*`` policy as long as streams have no expiry: that policy evicts only
keys with one. If streams expire, it is rejected too.

Every operation ends within `Timeouts.deadline`, including retries and waiting for a connection.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Hashable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote

from redis.asyncio import Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError, ResponseError
from redis.maint_notifications import MaintNotificationsConfig

from thumbstream.errors import StoreError, StoreFullError, StoreUnavailableError
from thumbstream.ids import CURVE_MARK, curve_key
from thumbstream.storage.base import (
    DEFAULT_TIMEOUT_S,
    NO_LABEL,
    PAGE_SIZE,
    LabelPage,
    LabelRemoval,
    Record,
    ScanPage,
    StreamInfo,
    is_curve_key,
    matches_id,
)

log = logging.getLogger(__name__)

KEY_PREFIX = "thumb:"
"""Prefix of the keys of streams and curves. All other keys begin with ``thumb`` as well, so that
other programs can use the same Redis database."""

# The fields of a record: "t" is the time of the first upload (empty: unknown), "x" the expiry (none
# if there is no such field), and "#" followed by a label stands for uploads under this label.
_LABEL_MARK = b"#"

_PUT = """
local new = redis.call('SET', KEYS[1], ARGV[1], 'NX')
local written = new and 1 or 0
if new then
  redis.call('DEL', KEYS[2])
elseif ARGV[2] == '1' and redis.pcall('GET', KEYS[1]) ~= ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[1])
  written = 2
end
local time = redis.call('HGET', KEYS[2], 't')
if not time and not new then
  redis.call('HSET', KEYS[2], '#', '')
end
if not time or time == '' or (ARGV[3] ~= '' and tonumber(ARGV[3]) < tonumber(time)) then
  redis.call('HSET', KEYS[2], 't', ARGV[3])
end
for i = 5, #ARGV do
  redis.call('HSET', KEYS[2], '#' .. ARGV[i], '')
end
if ARGV[4] == '' then
  redis.call('HDEL', KEYS[2], 'x')
  redis.call('PERSIST', KEYS[1])
  redis.call('PERSIST', KEYS[2])
else
  redis.call('HSET', KEYS[2], 'x', ARGV[4])
  redis.call('EXPIREAT', KEYS[1], ARGV[4])
  redis.call('EXPIREAT', KEYS[2], ARGV[4])
end
return written
"""
"""Stores a stream and merges its record. A stream without a record is of an earlier version, which
knew no labels. Keys: stream, record. Arguments: value, whether to repair, time, expiry, labels.
Returns 0 (nothing written), 1 (new) or 2 (repaired)."""

_PUT_CURVE = """
local new = redis.call('SET', KEYS[1], ARGV[1], 'NX')
if ARGV[2] == '' then
  redis.call('PERSIST', KEYS[1])
else
  redis.call('EXPIREAT', KEYS[1], ARGV[2])
end
return new and 1 or 0
"""
"""Stores a curve. Key: curve. Arguments: value, expiry. Returns whether it is new."""

_DELETE = """
local fields = redis.call('HKEYS', KEYS[2])
redis.call('DEL', KEYS[1], KEYS[2])
return fields
"""
"""Deletes a stream. Keys: stream, record. Returns the fields of its record."""

_REMOVE_LABEL = """
if redis.call('HDEL', KEYS[2], ARGV[1]) == 0 then
  return 0
end
for _, field in ipairs(redis.call('HKEYS', KEYS[2])) do
  if string.sub(field, 1, 1) == '#' then
    return 0
  end
end
redis.call('DEL', KEYS[2])
return redis.call('DEL', KEYS[1])
"""
"""Removes a label, and the stream if it has no other. Keys: stream, record. Argument: the field of
the label. Returns whether the stream was deleted."""

_INFO = """
if redis.call('TYPE', KEYS[1]).ok ~= 'string' then
  return false
end
return {redis.call('STRLEN', KEYS[1]), redis.call('HGETALL', KEYS[2])}
"""
"""Returns the length and record of a stream. Keys: stream, record."""

_INDEX = """
redis.call('ZADD', KEYS[1], 0, ARGV[1])
if ARGV[2] == '' then
  redis.call('ZREM', KEYS[2], ARGV[1])
else
  redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[3], 'LIMIT', 0, 100)) do
  redis.call('ZREM', KEYS[1], id)
  redis.call('ZREM', KEYS[2], id)
end
local last = redis.call('ZRANGE', KEYS[2], -1, -1, 'WITHSCORES')
for _, key in ipairs(KEYS) do
  if last[2] and redis.call('ZCARD', KEYS[1]) == redis.call('ZCARD', KEYS[2]) then
    redis.call('EXPIREAT', key, last[2])
  else
    redis.call('PERSIST', key)
  end
end
return 1
"""
"""Adds an id to the index of a label, drops up to 100 expired ones, and lets the index expire with
its last stream. Keys: the index, and its ids by expiry. Arguments: id, expiry, the time now."""

_UNINDEX = """
redis.call('ZREM', KEYS[2], ARGV[1])
return redis.call('ZREM', KEYS[1], ARGV[1])
"""
"""Drops an id from the index of a label. Keys: as for `_INDEX`. Argument: id."""

K = TypeVar("K", bound=Hashable)


class Command(NamedTuple):
    """A Redis command: the key that selects the node of a Cluster, and all its words."""

    key: str
    words: tuple[str | bytes | int, ...]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Timeouts of the Redis client, in seconds, and its number of retries."""

    deadline: float
    """Longest duration of one operation, including its retries."""
    connect: float
    """Longest wait for the server to accept a connection."""
    response: float
    """Longest wait for one response. Shorter than ``deadline``, because only this timeout detects
    a half-open connection, and a new connection needs the remaining time."""
    retries: int = 2
    """Attempts after the first one. Every command here is safe to repeat."""

    @classmethod
    def within(cls, deadline: float) -> Timeouts:
        """Return timeouts for operations that may take ``deadline`` seconds each."""
        return cls(deadline, connect=0.4 * deadline, response=0.6 * deadline)


HEALTH_CHECK_S = 30.0
"""Idle time, in seconds, after which a connection is checked with PING before its next use."""

NODE_TIMEOUT_S = 1.0
"""Longest wait, in seconds, for the answer of one node to INFO or PING. Short, so that one dead
node hardly delays an operation that needs the answers of several nodes."""

MAX_CONNECTIONS = 32
"""Most connections to one server, and most operations of one store at a time; further operations
wait. More connections would not help, because Redis runs one command at a time."""

PIPELINE_SIZE = 256
"""Most values in one round trip: about 450 KB with their scripts. A round trip takes a fraction of
the deadline even if the server syncs each value to disk."""

BACKOFF_BASE_S = 0.02
BACKOFF_CAP_S = 0.2


class EvictingStoreError(StoreUnavailableError):
    """The Redis server's eviction policy would drop acknowledged streams to free memory."""


class RedisStore:
    """A `Store` on the Redis server at ``url`` (``redis://``, or ``rediss://`` for TLS).

    If the server's eviction policy would drop streams, `open` raises `EvictingStoreError`; if the
    server was not reachable then, the first ``put`` or ``ping`` that reaches the server raises it.
    ``expiring``: whether streams may expire; storing the first one that does sets it as well. The
    constructor raises ValueError if ``url`` cannot be parsed.
    """

    name = "redis"

    def __init__(
        self, url: str, *, timeouts: Timeouts | None = None, expiring: bool = False
    ) -> None:
        parse_url(url)
        self._url = url
        self._timeouts = timeouts or Timeouts.within(DEFAULT_TIMEOUT_S)
        self._client: Any = None
        self._connections = asyncio.Semaphore(MAX_CONNECTIONS)
        self._expiring = expiring
        self._eviction_checked = False

    async def open(self) -> None:
        """Create the Redis client and check the server's eviction policy.

        Raises `EvictingStoreError` if the policy would drop streams. If the server is not
        reachable, `open` only logs a warning: the client connects on the next operation.
        """
        if self._client is not None:
            return
        self._client = self._connect(self._url, connection_options(self._timeouts))
        try:
            await self._check_eviction()
        except EvictingStoreError:
            await self.close()
            raise
        except StoreUnavailableError as error:
            log.warning("Redis not reachable at startup: %s", error)

    async def close(self) -> None:
        """Close all connections to the server; further calls do nothing."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def get(self, key: str) -> bytes | None:
        """Return the value under ``key``, or None if there is none."""
        async with self._operation() as client:
            value: bytes | None = await client.get(KEY_PREFIX + key)
        return value

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return one value, or None if there is none, for each of ``keys``, in their order."""
        if not keys:
            return []
        async with self._operation() as client:
            return await self._mget(client, keys)

    async def put(self, key: str, value: bytes, record: Record | None = None) -> bool:
        """Store ``value`` unless ``key`` has a value; return once the server has acknowledged it.

        Returns whether ``value`` was written. May return False for a written value if its first
        response was lost and the command was retried.
        """
        record = record or Record.now()
        return bool(await self.put_many({key: value}, {key.removeprefix(CURVE_MARK): record}))

    async def put_many(
        self, values: Mapping[str, bytes], records: Mapping[str, Record] | None = None
    ) -> set[str]:
        """Store ``values`` as `put` does, `PIPELINE_SIZE` of them in one round trip.

        In a Redis Cluster, such a round trip goes to all nodes concerned at the same time.
        """
        if not self._expiring and any(r.expires is not None for r in (records or {}).values()):
            self._expiring, self._eviction_checked = True, False
        await self._check_eviction()
        written: set[str] = set()
        for batch in _batches(values):
            async with self._operation() as client:
                written |= await self._put(client, batch, values, records or {})
        return written

    async def delete_many(self, keys: Sequence[str]) -> None:
        """Delete the streams ``keys``, then their curves, then their entries in indices."""
        for batch in _batches(keys):
            async with self._operation() as client:
                fields = await self._run(client, {key: _on_stream(_DELETE, key) for key in batch})
                await self._delete_curves(client, batch)
                entries = [(label, key) for key in batch for label in _labels(fields[key])]
                await self._unindex(client, entries)

    async def delete_curves(self, keys: Sequence[str]) -> None:
        """Delete the curves of the streams ``keys``."""
        for batch in _batches(keys):
            async with self._operation() as client:
                await self._delete_curves(client, batch)

    async def info_many(self, keys: Sequence[str]) -> list[StreamInfo | None]:
        """Return the length and record of each of ``keys``, or None, in their order."""
        found: list[StreamInfo | None] = []
        for batch in _batches(keys):
            async with self._operation() as client:
                found += await self._info(client, batch)
        return found

    async def list_label(self, label: str, *, after: str = "", limit: int = PAGE_SIZE) -> LabelPage:
        """Return up to ``limit`` streams of ``label`` with ids above ``after``."""
        keys = await self._indexed(label, after, limit)
        streams = [info for info in await self.info_many(keys) if info is not None]
        streams = [info for info in streams if label in info.record.labels]
        return LabelPage(streams, keys[-1] if len(keys) == limit else None)

    async def remove_label(self, label: str, *, limit: int = PAGE_SIZE) -> LabelRemoval:
        """Remove ``label`` from up to ``limit`` streams (see `Store`)."""
        keys = await self._indexed(label, "", limit)
        field = _LABEL_MARK + label.encode()
        deleted: list[str] = []
        for batch in _batches(keys):
            async with self._operation() as client:
                commands = {key: _on_stream(_REMOVE_LABEL, key, field) for key in batch}
                replies = await self._run(client, commands)
                unused = [key for key in batch if replies[key]]
                await self._delete_curves(client, unused)
                await self._unindex(client, [(label, key) for key in batch])
            deleted += unused
        return LabelRemoval(deleted, more=len(keys) == limit)

    async def scan(self) -> AsyncIterator[ScanPage]:
        """Yield all keys, of one server after the other; a key may be repeated."""
        async with self._operation() as client:
            nodes = list((await self._primaries(client)).values())
            sizes = [int(await node.execute_command("DBSIZE")) for node in nodes]
        scanned = 0
        for node in nodes:
            cursor: Any = 0
            while True:
                async with self._operation():
                    cursor, found = await node.execute_command("SCAN", cursor, "COUNT", PAGE_SIZE)
                scanned += len(found)
                keys = [name.decode() for name in found if name.startswith(KEY_PREFIX.encode())]
                fraction = min(1.0, scanned / max(1, sum(sizes)))
                yield ScanPage([key.removeprefix(KEY_PREFIX) for key in keys], fraction)
                if int(cursor) == 0:
                    break

    async def delete_expired(self) -> int:
        """Do nothing: Redis deletes expired keys by itself."""
        return 0

    async def used_bytes(self) -> int:
        """Return the memory of all servers in bytes, without replicas."""
        async with self._operation() as client:
            nodes = await self._primaries(client)
            infos = [await node.execute_command("INFO", "memory") for node in nodes.values()]
        return sum(int(info["used_memory"]) for info in infos)

    async def ping(self) -> None:
        """Raise `StoreUnavailableError` unless the server answers a read.

        A server that is still loading its data counts as unavailable.
        """
        await self._check_eviction()
        async with self._operation() as client:
            await self._ping(client)

    async def _put(
        self,
        client: Any,
        keys: Sequence[str],
        values: Mapping[str, bytes],
        records: Mapping[str, Record],
    ) -> set[str]:
        """Store the values of ``keys``; return the keys that were written.

        An id is added to the indices of its labels twice: before its record has the label, so that
        none is missing if the process is killed between the two, and afterwards, since `_unindex`
        may have run in between.
        """
        streams = [key for key in keys if not is_curve_key(key)]
        merged = {key: records.get(key.removeprefix(CURVE_MARK)) or Record.now() for key in keys}
        entries = {
            (label, key): merged[key].expires
            for key in streams
            for label in merged[key].labels - {NO_LABEL}
        }
        await self._index(client, entries)
        replies = await self._run(
            client, {key: _put_command(key, values[key], merged[key]) for key in keys}
        )
        await self._index(client, entries)
        for key in streams:
            if replies[key] == 2:
                log.warning("the damaged value under %s was replaced", key)
        orphans = await self._orphans(client, [key for key in keys if is_curve_key(key)])
        return {key for key in keys if replies[key] and key not in orphans}

    async def _orphans(self, client: Any, curves: Sequence[str]) -> set[str]:
        """Delete those of ``curves``, which have just been stored, whose stream is missing.

        `delete_many` deletes a stream before its curve. So if the stream is there now, its deletion
        will find the curve.
        """
        names = {key: KEY_PREFIX + key.removeprefix(CURVE_MARK) for key in curves}
        exists = await self._run(
            client, {key: Command(name, ("EXISTS", name)) for key, name in names.items()}
        )
        orphans = {key for key in curves if not exists[key]}
        await self._run(client, {key: _delete_command(key) for key in orphans})
        return orphans

    async def _delete_curves(self, client: Any, keys: Iterable[str]) -> None:
        await self._run(client, {key: _delete_command(curve_key(key)) for key in keys})

    async def _index(self, client: Any, entries: Mapping[tuple[str, str], int | None]) -> None:
        """Add ids to the indices of labels: ``entries`` maps (label, id) to the expiry."""
        now = int(time.time())
        await self._run(
            client,
            {
                (label, key): _on_index(_INDEX, label, key, _text(expires), now)
                for (label, key), expires in entries.items()
            },
        )

    async def _unindex(self, client: Any, entries: Sequence[tuple[str, str]]) -> None:
        """Drop ids, as pairs (label, id), from the indices of labels.

        Another upload may have given an id its label again. Then its record is there by now, and
        the id is added once more; or the record follows, and `_put` adds the id after it.
        """
        commands = {(label, key): _on_index(_UNINDEX, label, key) for label, key in entries}
        await self._run(client, commands)
        keys = list({key for _, key in entries})
        infos = dict(zip(keys, await self._info(client, keys), strict=True))
        again = {
            (label, key): info.record.expires
            for label, key in entries
            if (info := infos[key]) is not None and label in info.record.labels
        }
        await self._index(client, again)

    async def _indexed(self, label: str, after: str, limit: int) -> list[str]:
        """Return up to ``limit`` ids above ``after`` from the index of ``label``."""
        index, _ = _index_keys(label)
        start = f"({after}" if after else "-"
        async with self._operation() as client:
            keys = await client.zrangebylex(index, start, "+", start=0, num=limit)
        return [key.decode() for key in keys]

    async def _info(self, client: Any, keys: Sequence[str]) -> list[StreamInfo | None]:
        replies = await self._run(client, {key: _on_stream(_INFO, key) for key in keys})
        infos = {key: reply and _stream_info(key, *reply) for key, reply in replies.items()}
        return [infos[key] for key in keys]

    async def _check_eviction(self) -> None:
        """Raise `EvictingStoreError` if the server's eviction policy would drop streams.

        Once a check has succeeded, further calls do nothing.
        """
        if self._eviction_checked:
            return
        async with self._operation() as client:
            await check_eviction(await self._nodes(client), expiring=self._expiring)
        self._eviction_checked = True

    @staticmethod
    async def _nodes(client: Any) -> dict[str, Any]:
        """Return every server: its name for error messages -> the client connected to it."""
        return {"the server": client}

    async def _primaries(self, client: Any) -> dict[str, Any]:
        """Return every server that accepts writes, as `_nodes` does."""
        return await self._nodes(client)

    @staticmethod
    def _connect(url: str, options: dict[str, Any]) -> Any:
        # READONLY means that this connection leads to a former primary; a new one may not.
        return Redis.from_url(url, retry_on_error=[ReadOnlyError], **options)

    @staticmethod
    async def _mget(client: Any, keys: Sequence[str]) -> list[bytes | None]:
        values: list[bytes | None] = await client.mget([KEY_PREFIX + key for key in keys])
        return values

    @staticmethod
    async def _run(client: Any, commands: Mapping[K, Command]) -> dict[K, Any]:
        """Run ``commands`` (any name -> command) in one round trip; return name -> reply."""
        if not commands:
            return {}
        replies = await _replies(client, commands.values())
        if any(isinstance(reply, ReadOnlyError) for reply in replies):
            # This connection leads to a former primary; a new one may not. Commands are repeatable.
            await client.connection_pool.disconnect(inuse_connections=False)
            replies = await _replies(client, commands.values())
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return dict(zip(commands, replies, strict=True))

    @staticmethod
    async def _ping(client: Any) -> None:
        await client.get(KEY_PREFIX)

    @asynccontextmanager
    async def _operation(self) -> AsyncIterator[Any]:
        """Wait for a free connection, yield the Redis client, and limit the block to the deadline.

        Every exception in the block is raised as a `StoreError`.
        """
        if self._client is None:
            raise StoreUnavailableError("the store is not open")
        try:
            async with asyncio.timeout(self._timeouts.deadline), self._connections:
                yield self._client
        except StoreError:
            raise
        except OutOfMemoryError as error:
            raise StoreFullError("the store is full") from error
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            raise StoreUnavailableError(f"Redis: {reason_of(error)}") from error
        except Exception as error:
            # A bug, in redis-py as well: it may close a connection that another command is about
            # to use. The request fails as if the server did, and the traceback goes to the log.
            log.exception("unexpected error of the Redis client")
            raise StoreUnavailableError(f"Redis: {error!r}") from error


def _batches(keys: Iterable[str]) -> list[list[str]]:
    rest = iter(keys)
    return list(iter(lambda: list(islice(rest, PIPELINE_SIZE)), []))


def _on_stream(script: str, key: str, *arguments: str | bytes | int) -> Command:
    """Return the command that runs ``script`` on a stream and its record."""
    name = KEY_PREFIX + key
    return Command(name, ("EVAL", script, 2, name, f"thumb@{{{name}}}", *arguments))


def _on_index(script: str, label: str, *arguments: str | bytes | int) -> Command:
    """Return the command that runs ``script`` on the index of ``label``."""
    index, by_expiry = _index_keys(label)
    return Command(index, ("EVAL", script, 2, index, by_expiry, *arguments))


def _index_keys(label: str) -> tuple[str, str]:
    """Return the keys of an index and of its ids by expiry, which are in one slot."""
    name = quote(label)  # a brace in a label would end the part of the key that selects the slot
    return f"thumb-label:{{{name}}}", f"thumb-expiry:{{{name}}}"


def _put_command(key: str, value: bytes, record: Record) -> Command:
    expires = _text(record.expires)
    if is_curve_key(key):
        name = KEY_PREFIX + key
        return Command(name, ("EVAL", _PUT_CURVE, 1, name, value, expires))
    repair = int(matches_id(key, value))
    created = _text(record.created)
    return _on_stream(_PUT, key, value, repair, created, expires, *sorted(record.labels))


def _delete_command(key: str) -> Command:
    return Command(KEY_PREFIX + key, ("DEL", KEY_PREFIX + key))


def _text(value: int | None) -> str:
    return "" if value is None else str(value)


def _labels(fields: Iterable[bytes]) -> frozenset[str]:
    """Return the labels among the ``fields`` of a record, `NO_LABEL` excepted."""
    return frozenset(f[1:].decode() for f in fields if f[:1] == _LABEL_MARK) - {NO_LABEL}


def _stream_info(key: str, length: int, pairs: Sequence[bytes]) -> StreamInfo:
    """Convert a reply of `_INFO`; ``pairs``: names and values of the fields of the record."""
    fields = dict(zip(pairs[::2], pairs[1::2], strict=True))
    if not fields:  # of an earlier version
        return StreamInfo(key, length, Record(None))
    unlabelled = {NO_LABEL} if _LABEL_MARK in fields else set()
    created, expires = fields.get(b"t"), fields.get(b"x")
    record = Record(
        int(created) if created else None,
        _labels(fields) | unlabelled,
        int(expires) if expires else None,
    )
    return StreamInfo(key, length, record)


def reason_of(error: Exception) -> str:
    """Return the message of ``error``, or "no response in time" if it is empty, as for timeouts."""
    return str(error) or "no response in time"


def connection_options(timeouts: Timeouts) -> dict[str, Any]:
    """Return redis-py options for a single server or a Cluster.

    Options in the query string of the store's URL take precedence.
    """
    backoff = ExponentialWithJitterBackoff(base=BACKOFF_BASE_S, cap=BACKOFF_CAP_S)
    return {
        "decode_responses": False,
        # RESP2 saves new connections the round trips of HELLO and CLIENT SETINFO, which would
        # make reconnecting to a slow server even slower. Nothing here needs RESP3.
        "protocol": 2,
        "driver_info": None,
        "socket_connect_timeout": timeouts.connect,
        "socket_timeout": timeouts.response,
        "health_check_interval": HEALTH_CHECK_S,
        "max_connections": MAX_CONNECTIONS,
        "retry": Retry(backoff, timeouts.retries),
        # A feature of one vendor's cloud; elsewhere it costs every connection a rejected command.
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }


async def check_eviction(nodes: Mapping[str, Any], *, expiring: bool = False) -> None:
    """Raise `EvictingStoreError` if one of ``nodes`` (name -> client) would drop streams.

    ``expiring``: whether streams may expire.

    Logs a warning for nodes whose eviction policy cannot be read. If no node answers, raises the
    exception of the first node.
    """
    replies = await asyncio.gather(*map(_memory_info, nodes.values()), return_exceptions=True)
    errors = [reply for reply in replies if isinstance(reply, BaseException)]
    if errors and len(errors) == len(replies):
        raise errors[0]
    unknown = []
    for node, reply in zip(nodes, replies, strict=True):
        if not isinstance(reply, dict) or "maxmemory_policy" not in reply:
            unknown.append(node)
        elif evicts(
            str(reply["maxmemory_policy"]), int(reply.get("maxmemory", 0)), expiring=expiring
        ):
            raise EvictingStoreError(
                f"{node} drops streams when it is full (maxmemory-policy "
                f"{reply['maxmemory_policy']}): set maxmemory-policy noeviction"
            )
    if unknown:
        log.warning(
            "the eviction policy of %s cannot be read: make sure that it is noeviction",
            ", ".join(unknown),
        )


def evicts(policy: str, max_bytes: int, *, expiring: bool = False) -> bool:
    """Return whether a server may drop streams; ``expiring``: whether streams may expire.

    ``policy`` is its ``maxmemory-policy``; unknown policies give True. ``max_bytes`` is its
    ``maxmemory``; 0 means no limit.
    """
    safe = policy == "noeviction" or (policy.startswith("volatile-") and not expiring)
    return max_bytes > 0 and not safe


async def _replies(client: Any, commands: Iterable[Command]) -> list[Any]:
    """Send ``commands`` in one round trip; return their replies, errors among them."""
    pipeline = client.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command.words)
    # redis-py would add the words of the failed command to its error.
    replies: list[Any] = await pipeline.execute(raise_on_error=False)
    return replies


async def _memory_info(node: Any) -> dict[str, Any] | None:
    """Return the fields of ``INFO memory``, or None if the server rejects the command.

    INFO rather than CONFIG GET, because managed servers forbid CONFIG GET.
    """
    try:
        async with asyncio.timeout(NODE_TIMEOUT_S):
            info: dict[str, Any] = await node.execute_command("INFO", "memory")
        return info
    except ResponseError as error:
        # A server that is loading its data or fails over will answer later.
        if str(error).startswith(("LOADING", "MASTERDOWN", "CLUSTERDOWN")):
            raise
        return None
