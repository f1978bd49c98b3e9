"""When a request is sent again, and after how long.

Every request of the clients may be repeated: the same picture makes the same stream, and a deleted
stream stays deleted. Repeated are requests that were answered 429 or 503, and those whose
connection failed. A time-out is not repeated: the work may still occupy the service.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpx

RETRIED_STATUSES = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Number of attempts, and the pauses between them."""

    attempts: int = 5
    """Requests in all; 1: none is repeated."""
    first_pause: float = 0.25
    """Longest pause before the second attempt, in seconds; it doubles with each attempt. The pause
    is random, from half of it to all of it, so that clients do not return all at once."""
    max_pause: float = 30.0
    """Longest pause in seconds. If ``Retry-After`` is longer, the error is raised at once."""

    def pause(self, attempt: int, outcome: httpx.Response | httpx.RequestError) -> float | None:
        """Return the seconds to wait after ``attempt`` (the first is 1); None: do not repeat."""
        if attempt >= self.attempts or not _may_succeed_later(outcome):
            return None
        requested = retry_after(outcome) if isinstance(outcome, httpx.Response) else None
        if requested is not None and requested > self.max_pause:
            return None
        longest = min(self.max_pause, self.first_pause * 2.0 ** (attempt - 1))
        # Jitter needs no secure random numbers.
        return (requested or 0.0) + longest * random.uniform(0.5, 1.0)  # noqa: S311


def retry_after(response: httpx.Response) -> float | None:
    """Return the seconds of ``Retry-After``, also if it is a date; None if it is missing."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def _may_succeed_later(outcome: httpx.Response | httpx.RequestError) -> bool:
    if isinstance(outcome, httpx.Response):
        return outcome.status_code in RETRIED_STATUSES
    late = isinstance(outcome, httpx.TimeoutException) and not isinstance(
        outcome, httpx.ConnectTimeout
    )
    return not late and not isinstance(outcome, httpx.UnsupportedProtocol)
