"""A picture file to what is kept of it: a stream and its curve.

    thumbnail -> encode -> measure the curve

Every way in (uploads one by one, folders by the million) takes this one, so that the same picture
with the same wishes has the same stream, and so the same id, everywhere.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import BinaryIO

from thumbstream.codec.prefix_search import SHORTEST
from thumbstream.codec.rate_curve import RateCurve, measure_curve
from thumbstream.codec.targets import Target
from thumbstream.ids import curve_key
from thumbstream.images import Alpha, Limits, thumbnail
from thumbstream.models import PictureCodec
from thumbstream.telemetry.tracing import span

PREVIEW_BYTES = 32
"""The prefix that is told together with an id, to be inlined where the picture is listed."""


@dataclass(frozen=True, slots=True)
class Order:
    """One picture: its file and what is wanted of it."""

    picture: bytes | BinaryIO
    size: int
    max_bytes: int | None = None
    target: Target | None = None
    """Instead of ``max_bytes``."""
    model: str | None = None
    alpha: Alpha = Alpha.KEEP


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture on its way: the stream, its curve, the sides (pixels) before and on the grid."""

    stream: bytes
    curve: RateCurve | None
    width: int
    height: int
    thumb_width: int
    thumb_height: int
    alpha: bool
    """Whether transparency was kept."""

    def entries(self, key: str) -> list[tuple[str, bytes]]:
        """What a store keeps, under which keys; ``key`` is the id of the stream."""
        stream = (key, self.stream)
        return [stream] if self.curve is None else [stream, (curve_key(key), self.curve.to_bytes())]


def draw(
    codec: PictureCodec,
    order: Order,
    limits: Limits,
    *,
    curves: bool,
    measuring: AbstractContextManager[object] | None = None,
) -> Drawn:
    """The stream of a picture, and its curve where ``curves`` are wanted and it can have one.

    ``measuring`` is entered while the curve is measured. Raises what `thumbnail` raises.
    """
    alpha = order.alpha is Alpha.KEEP and codec.alpha
    with span("ingest"):
        small = thumbnail(order.picture, order.size, limits, alpha=alpha)
    with span("encode"):
        stream, prefixes = codec.encode_traced(
            small.pixels,
            max_bytes=order.max_bytes,
            target=order.target,
            aspect=(small.width, small.height),
        )
    curve = None
    if curves and may_have_curve(len(stream)):
        with span("curve"), measuring or nullcontext():
            curve = measure_curve(prefixes, small.pixels, stream)
    thumb_height, thumb_width, channels = small.pixels.shape
    return Drawn(stream, curve, small.width, small.height, thumb_width, thumb_height, channels == 4)


def may_have_curve(length: int) -> bool:
    """Whether a stream of ``length`` bytes is long enough: below, its header may be cut."""
    return length >= SHORTEST
