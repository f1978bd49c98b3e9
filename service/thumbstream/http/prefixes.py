"""From what a request asks for to the bytes it gets: streams from the reader, cut.

By bytes, a prefix is a slice of the stored value. By quality it is one, too: the stream's stored
curve says which measured prefix is the first to reach the goal. No network runs either way.
"""

from __future__ import annotations

from typing import NamedTuple

from thumbstream.codec.prefix_search import Target
from thumbstream.codec.rate_curve import RateCurve
from thumbstream.http.query import Wanted, WantedBatch
from thumbstream.http.refusals import NotFoundError
from thumbstream.ids import is_id
from thumbstream.storage.reader import StreamReader
from thumbstream.telemetry.metrics import Metrics


class Prefix(NamedTuple):
    """The first bytes of a stream."""

    key: str
    body: bytes
    """Empty: no such stream."""
    left_out: int
    """How many bytes of the stream are not in ``body``."""
    lasting: bool
    """Whether this will always be the answer to the same question."""


class Prefixes:
    """Cuts streams of a reader."""

    def __init__(self, reader: StreamReader, metrics: Metrics) -> None:
        self._reader = reader
        self._metrics = metrics

    async def one(self, key: str, wanted: Wanted) -> Prefix:
        """The prefix of one stream. Raises `NotFoundError` and `StoreError`."""
        prefix = None
        if is_id(key):
            if wanted.goal is None:
                prefix = _cut(key, await self._reader.get(key), wanted.limit)
            else:
                [prefix] = await self._reaching([key], [wanted.limit], wanted.goal)
        if prefix is None or not prefix.body:
            raise NotFoundError("no stream has this id")
        return prefix

    async def many(self, wanted: WantedBatch) -> list[Prefix]:
        """Prefixes in the order asked for, empty ones for unknown ids. Raises `StoreError`."""
        if wanted.goal is not None:
            return await self._reaching(wanted.keys, wanted.limits, wanted.goal)
        streams = await self._reader.get_many(wanted.keys)
        return list(map(_cut, wanted.keys, streams, wanted.limits))

    async def _reaching(self, keys: list[str], limits: list[int], goal: Target) -> list[Prefix]:
        streams, curves = await self._reader.get_with_curves(keys)
        prefixes = []
        for key, stream, stored, limit in zip(keys, streams, curves, limits, strict=True):
            curve = RateCurve.from_stored(stored)
            if stream is not None:
                self._metrics.count_quality_request(curve=curve is not None)
            if curve is None:  # whole: the next answer may know better, if a curve comes
                prefixes.append(_cut(key, stream, limit)._replace(lasting=False))
            else:
                reached = curve.shortest(goal.measure, goal.value)
                prefixes.append(_cut(key, stream, min(reached or limit, limit)))
        return prefixes


def _cut(key: str, stream: bytes | None, limit: int) -> Prefix:
    if stream is None:
        return Prefix(key, b"", 0, lasting=False)
    body = stream[:limit]
    return Prefix(key, body, len(stream) - len(body), lasting=True)
