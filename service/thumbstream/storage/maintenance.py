"""Work on all streams of a store: statistics, export, import, copy and verification.

Everything runs while a service reads and writes. A stream that is stored or deleted meanwhile may
be part of the result or not.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import NamedTuple, TextIO

from thumbstream.codec.rate_curve import RateCurve
from thumbstream.errors import CurveError
from thumbstream.ids import CURVE_MARK, curve_key, identify
from thumbstream.storage.base import (
    NO_LABEL,
    Record,
    Store,
    StreamInfo,
    check_label,
    is_curve_key,
    matches_id,
)

BATCH_SIZE = 256
"""Streams that are imported at a time."""

MAX_TIME = 253_402_300_799
"""Last second of the year 9999, which the service can still write as a date."""

OnProgress = Callable[[float, int], None]
"""A callback with the fraction that is done, from 0 to 1, and the number of streams so far."""


class StoredStream(NamedTuple):
    """A stream with everything that belongs to it."""

    key: str
    stream: bytes
    curve: bytes | None
    record: Record


@dataclass
class Stats:
    """Sums over a store. Lengths are in bytes, times are Unix times."""

    streams: int = 0
    curves: int = 0
    stream_bytes: int = 0
    expiring: int = 0
    """Streams with an expiry."""
    labelled: int = 0
    """Streams with at least one label."""
    first: int | None = None
    """Time of the earliest upload, as far as it is known."""
    last: int | None = None
    used_bytes: int = 0
    """Size of the database file, or memory of the Redis servers."""


@dataclass
class Verification:
    """The result of `verify`."""

    streams: int = 0
    damaged_streams: list[str] = field(default_factory=list)
    """Ids of streams whose bytes do not match their id."""
    damaged_curves: list[str] = field(default_factory=list)
    """Ids of streams whose curve cannot be read."""
    orphaned_curves: list[str] = field(default_factory=list)
    """Ids of curves without a stream."""

    @property
    def ok(self) -> bool:
        """Whether no fault was found."""
        return not (self.damaged_streams or self.damaged_curves or self.orphaned_curves)


async def list_streams(store: Store, on_progress: OnProgress) -> AsyncIterator[StreamInfo]:
    """Yield every stream of ``store`` without its bytes."""
    count = 0
    async for page in store.scan():
        for info in await store.info_many([key for key in page.keys if not is_curve_key(key)]):
            if info is not None:
                count += 1
                yield info
        on_progress(page.fraction, count)


async def list_of_label(store: Store, label: str) -> AsyncIterator[StreamInfo]:
    """Yield the streams of ``label``, in the order of their ids."""
    after: str | None = ""
    while after is not None:
        page = await store.list_label(label, after=after)
        for info in page.streams:
            yield info
        after = page.after


async def stats(store: Store, on_progress: OnProgress) -> Stats:
    """Count what is in ``store``. Redis may count a stream twice while it resizes its tables."""
    sums = Stats()
    async for page in store.scan():
        sums.curves += sum(map(is_curve_key, page.keys))
        for info in await store.info_many([key for key in page.keys if not is_curve_key(key)]):
            if info is not None:
                _add(sums, info)
        on_progress(page.fraction, sums.streams)
    sums.used_bytes = await store.used_bytes()
    return sums


def _add(sums: Stats, info: StreamInfo) -> None:
    _, length, record = info
    sums.streams += 1
    sums.stream_bytes += length
    sums.expiring += record.expires is not None
    sums.labelled += bool(record.labels - {NO_LABEL})
    if record.created is not None:
        sums.first = min(sums.first or record.created, record.created)
        sums.last = max(sums.last or 0, record.created)


async def read_all(store: Store, on_progress: OnProgress) -> AsyncIterator[list[StoredStream]]:
    """Yield every stream of ``store`` that matches its id, in batches."""
    count = 0
    async for page in store.scan():
        keys = [key for key in page.keys if not is_curve_key(key)]
        infos = await store.info_many(keys)
        values = await store.get_many([*keys, *map(curve_key, keys)])
        batch = [
            StoredStream(key, stream, curve, info.record)
            for key, info, stream, curve in zip(
                keys, infos, values[: len(keys)], values[len(keys) :], strict=True
            )
            if info is not None and stream is not None and matches_id(key, stream)
        ]
        count += len(batch)
        yield batch
        on_progress(page.fraction, count)


async def write_all(store: Store, batch: Iterable[StoredStream]) -> None:
    """Store streams with their curves and records, merging the records of those already there.

    A stream that is there already expires at the later of both times: it may have been uploaded to
    ``store`` again since.
    """
    values: dict[str, bytes] = {}
    records: dict[str, Record] = {}
    for key, stream, curve, record in batch:
        values[key], records[key] = stream, record
        if curve is not None:
            values[curve_key(key)] = curve
    for info in await store.info_many(list(records)):
        if info is not None:
            expires = _later(info.record.expires, records[info.key].expires)
            records[info.key] = replace(records[info.key], expires=expires)
    await store.put_many(values, records)


def _later(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else max(one, other)


async def copy(source: Store, target: Store, on_progress: OnProgress) -> int:
    """Copy every stream of ``source`` to ``target``; return their number."""
    count = 0
    async for batch in read_all(source, on_progress):
        await write_all(target, batch)
        count += len(batch)
    return count


async def export(store: Store, file: TextIO, on_progress: OnProgress) -> int:
    """Write every stream of ``store`` as a JSON object a line; return their number."""
    count = 0
    async for batch in read_all(store, on_progress):
        file.writelines(to_json(stored) + "\n" for stored in batch)
        count += len(batch)
    return count


async def load(store: Store, lines: Iterable[str], on_batch: Callable[[int], None]) -> int:
    """Store what `export` has written; return the number of streams.

    ``on_batch`` is called with this number after each batch. Raises ValueError for a line that is
    not an exported stream, or whose stream does not match its id; the streams before this batch
    have been stored.
    """
    count = 0
    parsed = _parse(lines)
    while batch := list(islice(parsed, BATCH_SIZE)):
        await write_all(store, batch)
        count += len(batch)
        on_batch(count)
    return count


async def verify(store: Store, on_progress: OnProgress, *, repair: bool = False) -> Verification:
    """Compare every stream of ``store`` with its id, and parse every curve.

    With ``repair``, damaged streams, damaged curves and curves without a stream are deleted; the
    next upload of the picture stores them again.
    """
    result = Verification()
    async for page in store.scan():
        values = await store.get_many(page.keys)
        pairs = [(k, v) for k, v in zip(page.keys, values, strict=True) if v is not None]
        streams = {key: value for key, value in pairs if not is_curve_key(key)}
        curves = {key.removeprefix(CURVE_MARK): value for key, value in pairs if is_curve_key(key)}
        result.streams += len(streams)
        damaged = [key for key, stream in streams.items() if identify(stream) != key]
        infos = dict(zip(curves, await store.info_many(list(curves)), strict=True))
        orphaned = [key for key in curves if infos[key] is None]
        broken = [key for key in curves if infos[key] and not _is_curve(curves[key])]
        result.damaged_streams += damaged
        result.orphaned_curves += orphaned
        result.damaged_curves += broken
        if repair:
            await store.delete_many([*damaged, *orphaned])
            await store.delete_curves(broken)
        on_progress(page.fraction, result.streams)
    return result


def _is_curve(value: bytes) -> bool:
    try:
        RateCurve.from_bytes(value)
    except CurveError:
        return False
    return True


def describe(info: StreamInfo) -> dict[str, object]:
    """Return a stream without its bytes as JSON members."""
    return {"id": info.key, "length": info.length, **_record_members(info.record)}


def to_json(stored: StoredStream) -> str:
    """Return a stream as one line of an export."""
    members: dict[str, object] = {
        "id": stored.key,
        **_record_members(stored.record),
        "stream": _base64(stored.stream),
        "curve": None if stored.curve is None else _base64(stored.curve),
    }
    return json.dumps(members, ensure_ascii=False)


def _record_members(record: Record) -> dict[str, object]:
    return {
        "created": record.created,
        "expires": record.expires,
        "labels": sorted(record.labels - {NO_LABEL}),
        "unlabelled": NO_LABEL in record.labels,
    }


def _parse(lines: Iterable[str]) -> Iterator[StoredStream]:
    for number, line in enumerate(lines, 1):
        try:
            stored = from_json(line)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"line {number}: not an exported stream: {error}") from None
        if not matches_id(stored.key, stored.stream):
            raise ValueError(f"line {number}: the stream does not match its id")
        yield stored


def from_json(line: str) -> StoredStream:
    """Parse one line of an export. Raises ValueError, KeyError, TypeError or RecursionError."""
    members = json.loads(line)
    key, names = members["id"], members["labels"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in [key, *names]):
        raise TypeError("the id or the labels are not text")
    labels = set(map(check_label, names))
    if members["unlabelled"]:
        labels.add(NO_LABEL)
    record = Record(
        _check_time(members["created"]), frozenset(labels), _check_time(members["expires"])
    )
    curve = members["curve"]
    return StoredStream(
        key,
        base64.b64decode(members["stream"], validate=True),
        None if curve is None else base64.b64decode(curve, validate=True),
        record,
    )


def _check_time(value: object) -> int | None:
    if value is None or (type(value) is int and 0 <= value <= MAX_TIME):
        return value
    raise ValueError(f"expected a Unix time, got {str(value)[:32]}")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
