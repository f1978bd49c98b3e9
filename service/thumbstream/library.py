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

from thumbstream import zoo
from thumbstream.codec.bitstream import check_side, parse_header
from thumbstream.codec.targets import Target
from thumbstream.ingest import Thumbnail, reduce_to_grid, thumbnail

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
) -> bytes:
    """The progressive stream of a picture.

    ``image``: a PIL image, a uint8 array ``(H, W)``, ``(H, W, 3)`` or ``(H, W, 4)``, a path, a
    picture file's bytes or a file object open for binary reading. ``size``: pixels of the long
    side, a multiple of 8 from 8 to 256; the aspect ratio is kept. ``max_bytes``: stop there.
    ``target``: ``"ssim:0.85"`` or ``"psnr:28"``, the fewest bytes that reach this quality against
    the picture at its reduced size, or the whole stream where none do; ``"bytes:64"``, the best
    stream of at most so many bytes. It takes many decodings, and excludes ``max_bytes``.
    ``model``: id of a published model (default: the default one).

    Raises `ValueError` for arguments out of range, `TypeError` for something that is no picture,
    a subclass of `thumbstream.ingest.IngestError` for a file that cannot be read,
    `thumbstream.UnknownModelError` for a model that is not published here.
    """
    check_side(size)
    goal = Target.parse(target) if isinstance(target, str) else target
    codec = zoo.load(model)
    return codec.encode(_on_grid(image, size).pixels, max_bytes=max_bytes, target=goal)


def encode_towards(
    image: Picture, target: Target, *, size: int = DEFAULT_SIZE, model: str | None = None
) -> tuple[bytes, bool]:
    """What `encode` returns for ``target``, and whether it reaches the goal."""
    check_side(size)
    codec, pixels = zoo.load(model), _on_grid(image, size).pixels
    stream = codec.encode(pixels, target=target)
    return stream, target.reached(pixels, codec.decode(stream))


def decode(stream: bytes, *, model: str | None = None) -> NDArray[np.uint8]:
    """The picture of a stream or of any prefix of one: ``(H, W, 3)`` uint8 RGB.

    ``model`` is only needed to insist on one; the stream names its own. Raises
    `thumbstream.BitstreamError` for bytes that are no stream, or not one of ``model``.
    """
    data = bytes(memoryview(stream))  # bytes(5) would be five zeros, and a stream
    codec = zoo.load(model) if model is not None else zoo.decoder_for(data)
    return codec.decode(data)


def inspect(stream: bytes) -> dict[str, Any]:
    """What a stream or a prefix of one says about itself.

    ``model``, ``bitstream_id`` (None in a header that is cut before it), ``width`` and ``height``
    in pixels, ``length`` and ``header_length`` in bytes, ``codes`` (how many the bytes determine),
    ``codes_per_iteration`` (of all cells), ``iterations`` (begun), ``cells``, ``stopped_cells``
    (which get no further iterations), ``bits_per_pixel``, and ``raw_length``: the bytes that the
    same codes would take without entropy coding. Raises `thumbstream.BitstreamError`.
    """
    data = bytes(memoryview(stream))  # bytes(5) would be five zeros, and a stream
    header = parse_header(data)
    codec = zoo.decoder_for(data)
    found = codec.read_codes(data)
    per_iteration = found.codes[0].size
    return {
        "model": codec.model_id if header.bitstream_id is not None else None,
        "bitstream_id": header.bitstream_id,
        "width": header.width,
        "height": header.height,
        "length": len(data),
        "header_length": header.length,
        "codes": found.known,
        "codes_per_iteration": per_iteration,
        "iterations": len(found.codes) if found.known else 0,
        "cells": found.active[0].size,
        "stopped_cells": found.stopped,
        "bits_per_pixel": round(8 * len(data) / (header.width * header.height), 4),
        "raw_length": header.length + -(-found.known // 8),
    }


def _on_grid(image: Picture, size: int) -> Thumbnail:
    if isinstance(image, Image.Image):
        return reduce_to_grid(image, size)
    if isinstance(image, np.ndarray):
        return reduce_to_grid(_from_array(image), size)
    if isinstance(image, str | os.PathLike):
        with Path(image).open("rb") as file:
            return thumbnail(file, size)
    if isinstance(image, bytes | bytearray | memoryview):
        return thumbnail(bytes(image), size)
    if hasattr(image, "read"):
        return thumbnail(image, size)
    raise TypeError(f"cannot read a picture from {type(image).__name__}")


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
