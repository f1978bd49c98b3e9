"""Who does the work: a small protocol, spoken by ``processes`` and ``cluster``."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Protocol

from thumbstream.bulk.jobs import Job, Outcome
from thumbstream.bulk.scan import Found


class Engine(Protocol):
    """Runs `make` on some pictures at a time, many at once."""

    crashes: tuple[type[BaseException], ...]
    """Raised by a future whose worker died: of its own work, or of other work beside it."""

    def room(self) -> int:
        """Batches that may be under way: enough that no worker waits for the next, not more."""

    def submit(self, job: Job, batch: Sequence[Found]) -> Future[list[Outcome]]:
        """Begin the work on ``batch``; after a crash, with new workers."""

    def close(self) -> None:
        """Let go of the workers. What is under way is dropped."""
