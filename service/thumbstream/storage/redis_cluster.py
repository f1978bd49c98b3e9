"""Streams in a Redis Cluster, whose nodes come, go and take each other's place.

While a primary is lost, the others are still read from and written to. Many keys at once are
pipelined to each node; redis-py's own pipeline over nodes would fail as a whole when one node does,
and then close every connection, those of other operations to healthy nodes as well. Who serves
which slots now, redis-py finds out when a single command fails or is redirected.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from redis.asyncio.cluster import PipelineCommand, RedisCluster
from redis.exceptions import OutOfMemoryError, SlotNotCoveredError

from thumbstream.errors import PartialReadError
from thumbstream.storage.eviction import ANSWER_S
from thumbstream.storage.redis import KEY_PREFIX, STORE_PATIENCE, Patience, RedisStore

Command = tuple[str | bytes, ...]
"""Its name, its key, and the rest of it."""

REDIRECTION_S = 1.0
"""For one key to find the node that serves it now, seconds; together with `Patience.answer` less
than `Patience.deadline`, so that those that were found are told."""


class RedisClusterStore(RedisStore):
    """A `Store` on a Redis Cluster of which ``url`` names one node.

    ``redis+cluster://`` or ``rediss+cluster://`` (TLS). ValueError if ``url`` cannot be read.
    """

    name = "redis+cluster"

    def __init__(
        self, url: str, *, may_evict: bool = False, patience: Patience = STORE_PATIENCE
    ) -> None:
        plain = url.replace("+cluster://", "://", 1)
        super().__init__(plain, may_evict=may_evict, patience=patience)

    @staticmethod
    def _connect(url: str, options: dict[str, Any]) -> Any:
        return RedisCluster.from_url(url, require_full_coverage=False, **options)

    @staticmethod
    async def _nodes(client: Any) -> dict[str, Any]:
        await client.initialize()
        return {f"node {node.host}:{node.port}": node for node in client.get_nodes()}

    @staticmethod
    async def _mget(client: Any, keys: Sequence[str]) -> list[bytes | None]:
        found = await _answers(client, {key: ("GET", KEY_PREFIX + key) for key in keys})
        return [found[key] for key in keys]

    @staticmethod
    async def _set_many(client: Any, values: Mapping[str, bytes]) -> None:
        commands = {key: ("SET", KEY_PREFIX + key, value, "NX") for key, value in values.items()}
        await _answers(client, commands)

    @staticmethod
    async def _ping(client: Any) -> None:
        # One primary is enough: what the others hold is served without those of a dead one.
        await client.initialize()
        pings = (
            asyncio.wait_for(node.execute_command("PING"), ANSWER_S)
            for node in client.get_primaries()
        )
        answers = await asyncio.gather(*pings, return_exceptions=True)
        if all(isinstance(answer, Exception) for answer in answers):
            await client.get(KEY_PREFIX)  # says what is wrong, and looks for new primaries


async def _answers(client: Any, commands: Mapping[str, Command]) -> dict[str, Any]:
    """What is answered to each of ``commands``. Raises `PartialReadError`."""
    await client.initialize()
    answers: dict[str, Any] = {}
    missing = dict(commands)
    while missing:
        answers |= await _answers_by_node(client, missing)
        missing = {key: command for key, command in missing.items() if key not in answers}
        if missing:
            first = next(iter(missing))
            try:
                async with asyncio.timeout(REDIRECTION_S):
                    answers[first] = await client.execute_command(*missing.pop(first))
            except OutOfMemoryError:
                raise
            except Exception as error:  # whatever it is, the others were answered
                reason = str(error) or "no answer in time"
                raise PartialReadError(f"a part of the store: {reason}", answers) from error
    return answers


async def _answers_by_node(client: Any, commands: Mapping[str, Command]) -> dict[str, Any]:
    """Those answered by the node where their key is thought to be, in one pipeline a node."""
    asked: defaultdict[Any, dict[str, PipelineCommand]] = defaultdict(dict)
    for position, (key, command) in enumerate(commands.items()):
        with suppress(SlotNotCoveredError):  # it is asked for alone, and the failure is told then
            node = client.get_node_from_key(command[1])
            asked[node][key] = PipelineCommand(position, *command)
    outcomes = await asyncio.gather(
        *(node.execute_pipeline(list(queue.values())) for node, queue in asked.items()),
        return_exceptions=True,
    )
    return {
        key: command.result
        for queue, outcome in zip(asked.values(), outcomes, strict=True)
        if not isinstance(outcome, BaseException)
        for key, command in queue.items()
        if not isinstance(command.result, Exception)
    }
