"""Encodes a picture to its stream and rate-distortion curve.

    thumbnail -> encode -> measure the curve

The library, the command line, the HTTP service and bulk runs all call `encode_picture`, so that the
same picture with the same options always has the same stream and the same id.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from thumbstream.codec.base import Codec
from thumbstream.codec.bitstream import check_size
from thumbstream.codec.effort import Effort
from thumbstream.codec.prefix_search import (
    BYTES,
    MIN_CANDIDATE,
    PrefixDecoder,
    Target,
    check_limits,
)
from thumbstream.codec.rate_curve import RateCurve, measure_curve
from thumbstream.ids import curve_key, identify
from thumbstream.images import Alpha, ImageLimits, Thumbnail, reduce_to_grid, thumbnail
from thumbstream.telemetry.tracing import span

DEFAULT_SIZE = 32
"""Default long side of a thumbnail in pixels."""

INLINE_PREFIX_BYTES = 32
"""Length of the prefix that is returned together with an id, for embedding in a page."""

Picture: TypeAlias = Image.Image | NDArray[np.uint8] | str | os.PathLike[str] | bytes | BinaryIO
"""A PIL image, a pixel array, or a picture file: its path, its content, or a binary file object."""


@dataclass(frozen=True, slots=True)
class EncodeOptions:
    """Options for encoding a picture. Raises `ValueError` or `TypeError` for invalid options."""

    size: int = DEFAULT_SIZE
    """Long side of the thumbnail in pixels: a multiple of 8 from 8 to 256."""
    max_bytes: int | None = None
    """Limit of the stream's length in bytes; cannot be combined with ``target``."""
    target: Target | None = None
    model: str | None = None
    """Id of the model; None selects the default model."""
    alpha: Alpha = Alpha.KEEP
    effort: Effort = Effort.DEFAULT

    def __post_init__(self) -> None:
        _check_integer("size", self.size)
        check_size(self.size)
        if self.max_bytes is not None:
            _check_integer("max_bytes", self.max_bytes)
        check_limits(self.max_bytes, self.target)

    def keeps_alpha(self, codec: Codec) -> bool:
        """Return whether ``codec`` encodes the transparency of a picture with these options."""
        return self.alpha is Alpha.KEEP and codec.alpha


@dataclass(frozen=True, slots=True)
class EncodedThumbnail:
    """An encoded picture: its stream, its curve, and facts about the picture and its thumbnail."""

    stream: bytes
    curve: RateCurve | None
    """Rate-distortion curve; None if it was not measured or the stream is too short for a curve."""
    width: int
    """Width of the original picture in pixels, after its EXIF orientation was applied."""
    height: int
    thumb_width: int
    """Width of the thumbnail in pixels."""
    thumb_height: int
    alpha: bool
    """Whether the stream has transparency."""
    truncated: bool
    """Whether the end of the picture file is missing, so that a part of the picture may be grey."""
    target_reached: bool
    """False if even the full stream is below the target; True also without a target."""

    @property
    def id(self) -> str:
        """The content id of the stream."""
        return identify(self.stream)

    def stored_values(self) -> dict[str, bytes]:
        """Return the values to store, by key: first the stream, then its curve if not None."""
        key = self.id
        values = {key: self.stream}
        if self.curve is not None:
            values[curve_key(key)] = self.curve.to_bytes()
        return values


def encode_picture(
    picture: Picture | Thumbnail,
    options: EncodeOptions,
    codec: Codec,
    *,
    limits: ImageLimits | None = None,
    curve: bool = False,
    curve_timer: AbstractContextManager[object] | None = None,
) -> EncodedThumbnail:
    """Encode ``picture`` with the ``codec`` of ``options.model``.

    ``limits``: limits for picture files; other kinds of pictures and thumbnails are not limited.
    ``curve``: whether to measure the stream's rate-distortion curve. ``curve_timer``: a context
    manager that is entered while the curve is measured. Raises `IngestError` for an invalid
    picture, `TypeError` for a ``picture`` of another type, and `OSError` for an unreadable file.
    """
    alpha = options.keeps_alpha(codec)
    with span("ingest"):
        small = _to_thumbnail(picture, options.size, limits, alpha=alpha)
    with span("encode"):
        stream, prefixes = codec.encode_with_decoder(
            small.pixels,
            max_bytes=options.max_bytes,
            target=options.target,
            aspect=(small.width, small.height),
            effort=options.effort,
        )
    measured = None
    if curve and supports_curve(len(stream)):
        with span("curve"), curve_timer or nullcontext():
            measured = measure_curve(prefixes, small.pixels, stream)
    reached = options.target is None or _reaches(options.target, prefixes, small.pixels, stream)
    thumb_height, thumb_width, channels = small.pixels.shape
    return EncodedThumbnail(
        stream,
        measured,
        width=small.width,
        height=small.height,
        thumb_width=thumb_width,
        thumb_height=thumb_height,
        alpha=channels == 4,
        truncated=small.truncated,
        target_reached=reached,
    )


def supports_curve(length: int) -> bool:
    """Return whether a stream of ``length`` bytes can have a curve.

    A curve needs more bytes than a header alone.
    """
    return length >= MIN_CANDIDATE


def _reaches(
    target: Target, prefixes: PrefixDecoder, pixels: NDArray[np.uint8], stream: bytes
) -> bool:
    if target.measure == BYTES:
        return True
    (x_hat,) = prefixes.decode_prefixes(stream, [len(stream)])
    return target.reached(pixels, x_hat)


def _to_thumbnail(
    picture: Picture | Thumbnail, size: int, limits: ImageLimits | None, *, alpha: bool
) -> Thumbnail:
    if isinstance(picture, Thumbnail):
        return picture
    if isinstance(picture, Image.Image):
        if getattr(picture, "tile", None) and getattr(picture, "fp", None) is None:
            raise ValueError("the picture is closed: encode it before its file is closed")
        return reduce_to_grid(picture, size, alpha=alpha)
    if isinstance(picture, np.ndarray):
        return reduce_to_grid(_from_array(picture), size, alpha=alpha)
    if isinstance(picture, str | os.PathLike):
        with Path(picture).open("rb") as file:
            return thumbnail(file, size, limits, alpha=alpha)
    if isinstance(picture, bytes | bytearray | memoryview):
        return thumbnail(bytes(picture), size, limits, alpha=alpha)
    if hasattr(picture, "read"):
        if hasattr(picture, "encoding"):
            raise TypeError("expected a binary file, got one open for text: use mode 'rb'")
        return thumbnail(picture, size, limits, alpha=alpha)
    raise TypeError(
        "expected a PIL image, an array, a path, bytes or a binary file, "
        f"got {type(picture).__name__}"
    )


def _from_array(pixels: NDArray[np.uint8]) -> Image.Image:
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or channels not in (1, 3, 4):
        raise TypeError(
            f"expected an array of shape (H, W), (H, W, 3) or (H, W, 4) and type uint8, "
            f"got {pixels.shape} {pixels.dtype}"
        )
    if pixels.size == 0:
        raise ValueError(f"the array is empty: its shape is {pixels.shape}")
    return Image.fromarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels)


def _check_integer(name: str, value: Any) -> None:
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        raise TypeError(f"{name}: expected an integer, got {value!r}")
