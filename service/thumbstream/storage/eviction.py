"""Whether a Redis-protocol server would drop streams to make room for others.

A server with ``maxmemory`` and an ``allkeys-*`` policy is a cache: it forgets what it acknowledged.
``noeviction`` refuses when it is full, and so do the ``volatile-*`` policies here, because they
drop only keys that expire and streams never do. The policy is read from INFO, not from CONFIG GET,
which managed servers forbid.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

from redis.exceptions import RedisError, ResponseError

from thumbstream.errors import StoreUnavailableError

log = logging.getLogger(__name__)

ANSWER_S = 1.0
"""The longest that one node may take to tell its policy, seconds: no dead replica is waited for."""


class EvictingStoreError(StoreUnavailableError):
    """A server that would drop streams which were acknowledged."""


class Policy(NamedTuple):
    """What INFO says of memory."""

    name: str
    max_bytes: int
    """0: no limit."""

    @property
    def evicts(self) -> bool:
        """Whether keys without an expiry may be dropped; a policy nobody knows may."""
        harmless = self.name == "noeviction" or self.name.startswith("volatile-")
        return self.max_bytes > 0 and not harmless


async def policies_of(nodes: Mapping[str, Any]) -> dict[str, Policy | None]:
    """The policy of each of the ``nodes`` (name -> client), None for one that cannot be read.

    Raises what redis-py raises when none of them answers at all.
    """
    answers = await asyncio.gather(*map(_policy, nodes.values()), return_exceptions=True)
    failures = [answer for answer in answers if isinstance(answer, BaseException)]
    if len(failures) == len(answers) and failures:
        raise failures[0]
    return {
        name: None if isinstance(answer, BaseException) else answer
        for name, answer in zip(nodes, answers, strict=True)
    }


def refuse_eviction(policies: Mapping[str, Policy | None]) -> None:
    """Raise `EvictingStoreError` if a node would drop streams; log those that do not say."""
    for node, policy in policies.items():
        if policy is not None and policy.evicts:
            raise EvictingStoreError(
                f"{node} would drop streams when it is full (maxmemory-policy {policy.name}, "
                f"maxmemory {policy.max_bytes}): set maxmemory-policy noeviction, or use it as "
                "THUMBSTREAM_CACHE, or accept the loss with THUMBSTREAM_ALLOW_EVICTION=true"
            )
    silent = [node for node, policy in policies.items() if policy is None]
    if silent:
        log.warning(
            "the eviction policy of %s cannot be read: make sure that it is noeviction",
            ", ".join(silent),
        )


async def _policy(node: Any) -> Policy | None:
    try:
        async with asyncio.timeout(ANSWER_S):
            memory = await node.execute_command("INFO", "memory")
        return Policy(str(memory["maxmemory_policy"]), int(memory["maxmemory"]))
    except ResponseError as error:
        if _comes_later(error):
            raise
        return None  # forbidden, or a server that has no INFO
    except (KeyError, TypeError, ValueError):
        return None


def _comes_later(error: RedisError) -> bool:
    """A server that loads its data answers with an error, too, and will tell its policy soon."""
    return str(error).startswith(("LOADING", "MASTERDOWN", "CLUSTERDOWN"))
