"""A circuit breaker: what just failed is left alone until it answers again.

Without it, each read would wait for a cache that has gone silent. With it, one read does, and from
then on one task asks the cache, once in a while, whether it is back; nobody waits for that task.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

PAUSE_S = 1.0
"""Between two questions whether it is back, seconds."""


class Breaker:
    """``probe`` raises as long as what it asks cannot be used; ``name`` is for the log."""

    def __init__(
        self, name: str, probe: Callable[[], Awaitable[None]], *, pause: float = PAUSE_S
    ) -> None:
        self._name = name
        self._probe = probe
        self._pause = pause
        self._watch: asyncio.Task[None] | None = None
        self._closed_for_good = False

    @property
    def usable(self) -> bool:
        """Whether it may be used: it has not failed, or has answered since."""
        return self._watch is None and not self._closed_for_good

    def trip(self, error: Exception) -> None:
        """It failed: leave it alone until the probe succeeds."""
        if self.usable:
            log.warning("%s is left alone: %s", self._name, error)
            self._watch = asyncio.create_task(self._until_it_answers())

    async def close(self) -> None:
        """Ask no more; never usable again."""
        self._closed_for_good = True
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.cancel()
            await asyncio.wait([watch])

    async def _until_it_answers(self) -> None:
        while True:
            await asyncio.sleep(self._pause)
            try:
                await self._probe()
            except Exception:  # whatever it is, it does not answer
                log.debug("%s does not answer yet", self._name, exc_info=True)
                continue
            log.info("%s is used again", self._name)
            self._watch = None
            return
