"""What the methods of the clients return, read from the JSON of the service.

Members that this version does not know are ignored.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit


class CurvePoint(NamedTuple):
    """One measured prefix of a stream."""

    bytes: int
    ssim: float
    psnr: float
    """In dB."""


@dataclass(frozen=True, slots=True)
class StoredThumbnail:
    """Result of an upload."""

    id: str
    """Content id of the stream: 22 characters."""
    new: bool
    """False if the same stream was stored already."""
    length: int
    """Length of the stream in bytes."""
    width: int
    """Width of the upright original in pixels."""
    height: int
    thumb_width: int
    """Width of the thumbnail in pixels."""
    thumb_height: int
    alpha: bool
    """Whether the stream codes transparency."""
    truncated: bool
    """Whether the end of the picture file was missing."""
    aspect_ratio: tuple[int, int]
    """Width to height, as the stream's header has it."""
    model: str
    url: str
    """Path of the stream on the service."""
    prefix_urls: Mapping[int, str]
    """Byte counts to the paths of prefixes that caches store."""
    prefix: bytes
    """The first 32 bytes of the stream, to be inlined in a page."""
    curve: tuple[CurvePoint, ...] | None
    """Measured prefixes, the full stream last; None if the service measures no curves."""

    @classmethod
    def from_json(cls, members: Mapping[str, Any], *, new: bool) -> StoredThumbnail:
        """Read the response to an upload. Raises `KeyError`, `TypeError` or `ValueError`."""
        width, height = members["aspect_ratio"]
        curve = members["curve"]
        return cls(
            id=members["id"],
            new=new,
            length=members["length"],
            width=members["width"],
            height=members["height"],
            thumb_width=members["thumb_width"],
            thumb_height=members["thumb_height"],
            alpha=members["alpha"],
            truncated=members["truncated"],
            aspect_ratio=(width, height),
            model=members["model"],
            url=members["url"],
            prefix_urls={int(size): url for size, url in members["prefix_urls"].items()},
            prefix=base64.b64decode(members["prefix_base64"]),
            curve=None if curve is None else tuple(CurvePoint(*point) for point in curve),
        )


@dataclass(frozen=True, slots=True)
class BudgetShare:
    """The share of one picture in a budget: bytes, and the expected quality."""

    bytes: int
    quality: float


@dataclass(frozen=True, slots=True)
class UniformAllocation:
    """The baseline of a budget: the same limit for every picture."""

    bytes_each: int
    mean: float


@dataclass(frozen=True, slots=True)
class PageBudget:
    """A page's bytes, split over its pictures."""

    measure: str
    """``ssim`` or ``psnr``."""
    total_bytes: int
    used_bytes: int
    mean: float
    """Expected mean quality over the pictures of the page."""
    uniform: UniformAllocation
    gain: float
    """``mean`` minus that of ``uniform``."""
    thumbs: Mapping[str, BudgetShare]
    """Id to bytes and quality."""
    urls: tuple[str, ...]
    """Paths that return exactly these bytes."""
    unknown: tuple[str, ...]
    """Ids without a stream."""
    without_curve: tuple[str, ...]
    """Ids of streams without a curve, which are not in the plan."""

    @classmethod
    def from_json(cls, members: Mapping[str, Any]) -> PageBudget:
        """Read the response to a budget. Raises `KeyError`, `TypeError` or `ValueError`."""
        uniform = members["uniform"]
        return cls(
            measure=members["measure"],
            total_bytes=members["total_bytes"],
            used_bytes=members["used_bytes"],
            mean=members["mean"],
            uniform=UniformAllocation(uniform["bytes_each"], uniform["mean"]),
            gain=members["gain"],
            thumbs={
                key: BudgetShare(share["bytes"], share["quality"])
                for key, share in members["thumbs"].items()
            },
            urls=tuple(members["urls"]),
            unknown=tuple(members["unknown"]),
            without_curve=tuple(members["without_curve"]),
        )


@dataclass(frozen=True, slots=True)
class StreamDescription:
    """What the service knows about a stored stream."""

    id: str
    length: int
    """Length of the stream in bytes."""
    created: datetime | None
    """Time of the first upload; None if an earlier version of the service stored the stream."""
    expires: datetime | None
    """Time at which the stream is deleted; None: never."""
    labels: tuple[str, ...]
    """The labels of all its uploads."""
    url: str
    """Path of the stream on the service."""

    @classmethod
    def from_json(cls, members: Mapping[str, Any]) -> StreamDescription:
        """Read the description of a stream. Raises `KeyError`, `TypeError` or `ValueError`."""
        return cls(
            id=members["id"],
            length=members["length"],
            created=_time(members["created"]),
            expires=_time(members["expires"]),
            labels=tuple(members["labels"]),
            url=members["url"],
        )


@dataclass(frozen=True, slots=True)
class StreamPage:
    """A page of the streams of a label."""

    streams: tuple[StreamDescription, ...]
    next: str | None
    """The parameter ``after`` of the next page; None if this is the last one."""

    @classmethod
    def from_json(cls, members: Mapping[str, Any]) -> StreamPage:
        """Read the response of a list. Raises `KeyError`, `TypeError` or `ValueError`."""
        path = members["next"]
        return cls(
            streams=tuple(map(StreamDescription.from_json, members["streams"])),
            next=None if path is None else parse_qs(urlsplit(path).query)["after"][0],
        )


@dataclass(frozen=True, slots=True)
class LabelDeletion:
    """Result of the deletion of a label."""

    deleted: tuple[str, ...]
    """Ids of the deleted streams, to be purged from a CDN."""
    more: bool
    """Whether to call the method again."""

    @classmethod
    def from_json(cls, members: Mapping[str, Any]) -> LabelDeletion:
        """Read the response of a deletion. Raises `KeyError`, `TypeError` or `ValueError`."""
        return cls(deleted=tuple(members["deleted"]), more=members["more"])


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
