"""Stores streams in a Redis Cluster, and stays available while single nodes fail.

While a primary is down, keys on the other primaries can still be read and written. This module
sends commands for many keys through one pipeline for each node. It does not use redis-py's cluster
pipeline: if one node fails, that pipeline fails for all nodes and closes every connection, even to
healthy nodes. redis-py updates its map of slots to nodes when a single command fails or is
redirected.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from redis.asyncio.cluster import PipelineCommand, RedisCluster
from redis.exceptions import OutOfMemoryError, RedisError, SlotNotCoveredError

from thumbstream.errors import PartialReadError
from thumbstream.storage.redis import (
    KEY_PREFIX,
    NODE_TIMEOUT_S,
    Command,
    K,
    RedisStore,
    Timeouts,
    reason_of,
)

REDIRECT_TIMEOUT_S = 1.0
"""Longest time, in seconds, to find the node that now serves a key and run the command there.
The sum of this and `Timeouts.response` is less than the default `Timeouts.deadline`, so that a
failed read can still return the values from the other nodes (in `PartialReadError`)."""


class RedisClusterStore(RedisStore):
    """A `Store` on a Redis Cluster; ``url`` is the address of any one of its nodes.

    The scheme is ``redis+cluster://``, or ``rediss+cluster://`` for TLS. The constructor raises
    ValueError if ``url`` cannot be parsed.
    """

    name = "redis+cluster"

    def __init__(
        self, url: str, *, timeouts: Timeouts | None = None, expiring: bool = False
    ) -> None:
        url = url.replace("+cluster://", "://", 1)
        super().__init__(url, timeouts=timeouts, expiring=expiring)

    @staticmethod
    def _connect(url: str, options: dict[str, Any]) -> Any:
        return RedisCluster.from_url(url, require_full_coverage=False, **options)

    @staticmethod
    async def _nodes(client: Any) -> dict[str, Any]:
        await client.initialize()
        return {f"node {node.host}:{node.port}": node for node in client.get_nodes()}

    async def _primaries(self, client: Any) -> dict[str, Any]:
        await client.initialize()
        return {f"node {node.host}:{node.port}": node for node in client.get_primaries()}

    @staticmethod
    async def _mget(client: Any, keys: Sequence[str]) -> list[bytes | None]:
        names = {key: KEY_PREFIX + key for key in keys}
        commands = {key: Command(name, ("GET", name)) for key, name in names.items()}
        found = await _execute(client, commands)
        return [found[key] for key in keys]

    @staticmethod
    async def _run(client: Any, commands: Mapping[K, Command]) -> dict[K, Any]:
        replies = await _execute(client, commands) if commands else {}
        return {name: replies[name] for name in commands}

    @staticmethod
    async def _ping(client: Any) -> None:
        # One primary is enough: a cluster without the keys of a dead one still serves the others.
        await client.initialize()
        pings = (
            asyncio.wait_for(node.execute_command("PING"), NODE_TIMEOUT_S)
            for node in client.get_primaries()
        )
        replies = await asyncio.gather(*pings, return_exceptions=True)
        if all(isinstance(reply, Exception) for reply in replies):
            await client.get(KEY_PREFIX)  # raises the reason, and makes redis-py look for primaries


async def _execute(client: Any, commands: Mapping[K, Command]) -> dict[K, Any]:
    """Run ``commands`` (any name -> command) and return name -> reply, in any order.

    Raises `PartialReadError` with the replies received so far if a command fails.
    """
    await client.initialize()
    replies: dict[K, Any] = {}
    missing = dict(commands)
    while missing:
        replies |= await _pipeline_by_node(client, missing)
        missing = {key: command for key, command in missing.items() if key not in replies}
        if missing:
            first = next(iter(missing))
            try:
                async with asyncio.timeout(REDIRECT_TIMEOUT_S):
                    replies[first] = await client.execute_command(*missing.pop(first).words)
            except OutOfMemoryError:
                raise
            except (RedisError, OSError) as error:
                if str(error).startswith("WRONGTYPE"):
                    replies[first] = None  # as MGET does
                    continue
                # The replies of the other nodes still count.
                found: Any = replies
                raise PartialReadError(f"Redis Cluster: {reason_of(error)}", found) from error
    return replies


async def _pipeline_by_node(client: Any, commands: Mapping[K, Command]) -> dict[K, Any]:
    """Run ``commands`` in one pipeline for each node, and return name -> reply.

    redis-py's map of slots, which may be outdated, selects the node. The result has no entry for a
    command that failed.
    """
    pipelines: defaultdict[Any, dict[K, PipelineCommand]] = defaultdict(dict)
    for position, (name, command) in enumerate(commands.items()):
        with suppress(SlotNotCoveredError):  # executed alone later, which raises the reason
            node = client.get_node_from_key(command.key)
            pipelines[node][name] = PipelineCommand(position, *command.words)
    outcomes = await asyncio.gather(
        *(node.execute_pipeline(list(queue.values())) for node, queue in pipelines.items()),
        return_exceptions=True,
    )
    return {
        name: command.result
        for queue, outcome in zip(pipelines.values(), outcomes, strict=True)
        if not isinstance(outcome, BaseException)
        for name, command in queue.items()
        if not isinstance(command.result, Exception)
    }
