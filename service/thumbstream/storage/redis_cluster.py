"""Streams in a Redis Cluster, whose nodes come, go and replace each other.

While a primary is down, reads and writes of the others continue. Many keys at once are pipelined to
each node here: redis-py's own cluster pipeline fails as a whole when one node does, and then closes
every connection, including those to healthy nodes. redis-py learns which node serves which slots
when a single command fails or is redirected.
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
    RedisStore,
    Timeouts,
    reason_of,
)

Command = tuple[str | bytes, ...]
"""Name, key and further arguments."""

REDIRECT_TIMEOUT_S = 1.0
"""For one key to find the node that serves it now, seconds. With `Timeouts.response` less than
`Timeouts.deadline`, so that a read returns what it found on the other nodes."""


class RedisClusterStore(RedisStore):
    """A `Store` on a Redis Cluster; ``url`` names one of its nodes.

    ``redis+cluster://`` or ``rediss+cluster://`` (TLS). ValueError if ``url`` cannot be parsed.
    """

    name = "redis+cluster"

    def __init__(self, url: str, *, timeouts: Timeouts | None = None) -> None:
        super().__init__(url.replace("+cluster://", "://", 1), timeouts=timeouts)

    @staticmethod
    def _connect(url: str, options: dict[str, Any]) -> Any:
        return RedisCluster.from_url(url, require_full_coverage=False, **options)

    @staticmethod
    async def _nodes(client: Any) -> dict[str, Any]:
        await client.initialize()
        return {f"node {node.host}:{node.port}": node for node in client.get_nodes()}

    @staticmethod
    async def _mget(client: Any, keys: Sequence[str]) -> list[bytes | None]:
        found = await _execute(client, {key: ("GET", KEY_PREFIX + key) for key in keys})
        return [found[key] for key in keys]

    @staticmethod
    async def _set_many(client: Any, values: Mapping[str, bytes]) -> dict[str, bool]:
        commands = {key: ("SET", KEY_PREFIX + key, value, "NX") for key, value in values.items()}
        return {key: bool(reply) for key, reply in (await _execute(client, commands)).items()}

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


async def _execute(client: Any, commands: Mapping[str, Command]) -> dict[str, Any]:
    """The reply to every command, under the key of the command. Raises `PartialReadError`."""
    await client.initialize()
    replies: dict[str, Any] = {}
    missing = dict(commands)
    while missing:
        replies |= await _pipeline_by_node(client, missing)
        missing = {key: command for key, command in missing.items() if key not in replies}
        if missing:
            first = next(iter(missing))
            try:
                async with asyncio.timeout(REDIRECT_TIMEOUT_S):
                    replies[first] = await client.execute_command(*missing.pop(first))
            except OutOfMemoryError:
                raise
            except (RedisError, OSError) as error:
                if str(error).startswith("WRONGTYPE"):
                    replies[first] = None  # as MGET does
                    continue
                # The replies of the other nodes still count.
                raise PartialReadError(f"Redis Cluster: {reason_of(error)}", replies) from error
    return replies


async def _pipeline_by_node(client: Any, commands: Mapping[str, Command]) -> dict[str, Any]:
    """Replies of the nodes that are thought to serve each key, by one pipeline a node.

    Commands that fail are left out.
    """
    pipelines: defaultdict[Any, dict[str, PipelineCommand]] = defaultdict(dict)
    for position, (key, command) in enumerate(commands.items()):
        with suppress(SlotNotCoveredError):  # executed alone later, which raises the reason
            node = client.get_node_from_key(command[1])
            pipelines[node][key] = PipelineCommand(position, *command)
    outcomes = await asyncio.gather(
        *(node.execute_pipeline(list(queue.values())) for node, queue in pipelines.items()),
        return_exceptions=True,
    )
    return {
        key: command.result
        for queue, outcome in zip(pipelines.values(), outcomes, strict=True)
        if not isinstance(outcome, BaseException)
        for key, command in queue.items()
        if not isinstance(command.result, Exception)
    }
