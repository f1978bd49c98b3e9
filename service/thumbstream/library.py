"""The library in three functions: `encode`, `decode`, `inspect`.

Cutting a stream needs none: ``stream[:64]`` is the preview that 64 bytes buy.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from thumbstream import published_models as zoo
from thumbstream.codec.base import Codec
from thumbstream.codec.bitstream import check_side
from thumbstream.codec.targets import Target
from thumbstream.images import Alpha, Thumbnail, reduce_to_grid, thumbnail

DEFAULT_SIZE = 32
"""Pixels of the long side."""

Picture: TypeAlias = Image.Image | NDArray[np.uint8] | str | os.PathLike[str] | bytes | BinaryIO
"""What `encode` takes: an open picture, an array, a path, a file's bytes or a file object."""


def encode(
    image: Picture,
    *,
    size: int = DEFAULT_SIZE,
    max_bytes: int | None = None,
    target: str | Target | None = None,
    model: str | None = None,
    alpha: str = Alpha.KEEP,
) -> bytes:
    """The progressive stream of a picture.

    ``image``: a PIL image, a uint8 array ``(H, W)``, ``(H, W, 3)`` or ``(H, W, 4)``, a path, a
    picture file's bytes or a file object open for binary reading. ``size``: pixels of the long
    side, a multiple of 8 from 8 to 256; the aspect ratio is kept. ``max_bytes``: stop there.
    ``target``: ``"ssim:0.85"`` or ``"psnr:28"``, the fewest bytes that reach this quality against
    the picture at its reduced size, or the whole stream where none do; ``"bytes:64"``, the best
    stream of at most so many bytes. It takes many decodings, and excludes ``max_bytes``.
    ``model``: id of a published model (default: the default one). ``alpha``: ``"keep"`` codes
    transparency where the picture has some and the model can (its codec's ``alpha``);
    ``"flatten"``, and a model that cannot, composite it over white.

    Raises `ValueError` for arguments out of range, `TypeError` for something that is no picture,
    a subclass of `thumbstream.images.IngestError` for a file that cannot be read,
    `thumbstream.UnknownModelError` for a model that is not published here.
    """
    check_side(size)
    goal = Target.parse(target) if isinstance(target, str) else target
    codec = zoo.load(model)
    small = _on_grid(image, size, codec, alpha)
    aspect = small.width, small.height
    return codec.encode(small.pixels, max_bytes=max_bytes, target=goal, aspect=aspect)


def encode_towards(
    image: Picture,
    target: Target,
    *,
    size: int = DEFAULT_SIZE,
    model: str | None = None,
    alpha: str = Alpha.KEEP,
) -> tuple[bytes, bool]:
    """What `encode` returns for ``target``, and whether it reaches the goal."""
    check_side(size)
    codec = zoo.load(model)
    small = _on_grid(image, size, codec, alpha)
    stream = codec.encode(small.pixels, target=target, aspect=(small.width, small.height))
    return stream, target.reached(small.pixels, codec.decode(stream))


def decode(stream: bytes, *, model: str | None = None) -> NDArray[np.uint8]:
    """The picture of a stream or of any prefix of one: ``(H, W, 3)`` uint8 RGB.

    ``(H, W, 4)`` with straight alpha where the stream codes transparency. ``model`` is only needed
    to insist on one; the stream names its own. Raises `thumbstream.BitstreamError` for bytes that
    are no stream, or not one of ``model``.
    """
    data = bytes(memoryview(stream))  # bytes(5) would be five zeros, and a stream
    codec = zoo.load(model) if model is not None else zoo.decoder_for(data)
    return codec.decode(data)


def inspect(stream: bytes) -> dict[str, Any]:
    """What a stream or a prefix of one says about itself.

    ``model`` and ``bitstream_id`` (None in a header that is cut before it), ``width`` and
    ``height`` in pixels, ``alpha`` (whether it codes transparency), ``aspect_ratio`` (width to
    height of what is shown: exact where the header names a ratio, else that of the pixels),
    ``length`` and ``header_length`` in bytes, ``bits_per_pixel``, ``cells``.

    Models of the paper add ``codes`` (how many the bytes determine), ``codes_per_iteration`` (of
    all cells), ``iterations`` (begun), ``stopped_cells`` (which get no further iterations), and
    ``raw_length``: the bytes that the same codes would take without entropy coding. Embedded models
    add ``symbols`` (how many the bytes determine), ``planes`` (complete) and ``step``: where the
    bytes end. Raises `thumbstream.BitstreamError`.
    """
    data = bytes(memoryview(stream))  # bytes(5) would be five zeros, and a stream
    return zoo.decoder_for(data).inspect(data)


def _on_grid(image: Picture, size: int, codec: Codec, alpha: str) -> Thumbnail:
    keep = _checked(alpha) is Alpha.KEEP and codec.alpha
    if isinstance(image, Image.Image):
        return reduce_to_grid(image, size, alpha=keep)
    if isinstance(image, np.ndarray):
        return reduce_to_grid(_from_array(image), size, alpha=keep)
    if isinstance(image, str | os.PathLike):
        with Path(image).open("rb") as file:
            return thumbnail(file, size, alpha=keep)
    if isinstance(image, bytes | bytearray | memoryview):
        return thumbnail(bytes(image), size, alpha=keep)
    if hasattr(image, "read"):
        return thumbnail(image, size, alpha=keep)
    raise TypeError(f"cannot read a picture from {type(image).__name__}")


def _checked(alpha: str) -> Alpha:
    try:
        return Alpha(alpha)
    except ValueError:
        raise ValueError(f"alpha must be {' or '.join(Alpha)}, not {alpha!r}") from None


def _from_array(pixels: NDArray[np.uint8]) -> Image.Image:
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or channels not in (1, 3, 4):
        raise TypeError(
            f"an array must be (H, W), (H, W, 3) or (H, W, 4) uint8, "
            f"not {pixels.shape} {pixels.dtype}"
        )
    if pixels.size == 0:
        raise ValueError("the array is empty")
    return Image.fromarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels)
