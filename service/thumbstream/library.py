"""The three functions of the Python library: `encode`, `decode` and `inspect`.

A slice such as ``stream[:64]`` is a valid shorter stream: a preview in 64 bytes.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.effort import Effort
from thumbstream.codec.prefix_search import Target
from thumbstream.encoding import DEFAULT_SIZE, EncodeOptions, Picture, encode_picture
from thumbstream.images import Alpha, ImageLimits
from thumbstream.models import installed_models

T = TypeVar("T", bound=StrEnum)


def encode(
    image: Picture,
    *,
    size: int = DEFAULT_SIZE,
    max_bytes: int | None = None,
    target: str | Target | None = None,
    model: str | None = None,
    alpha: str = Alpha.KEEP,
    effort: str = Effort.DEFAULT,
    limits: ImageLimits | None = None,
) -> bytes:
    """Encode a picture as a progressive stream.

    ``image``: a PIL image, a uint8 array ``(H, W)``, ``(H, W, 3)`` or ``(H, W, 4)``, the path of a
    picture file, its content as bytes, or a file object open for binary reading.

    ``size``: long side in pixels, a multiple of 8 from 8 to 256; the aspect ratio is kept.
    ``max_bytes``: limit of the stream's length in bytes.
    ``target``: ``"ssim:0.85"`` or ``"psnr:28"`` returns the shortest prefix that reaches this
    quality, compared with the picture at its reduced size, or the full stream if no prefix does;
    ``"bytes:64"`` returns the prefix of at most 64 bytes with the best quality. The search decodes
    many prefixes, so it is slow. ``target`` and ``max_bytes`` exclude each other.
    ``model``: id of an installed model (default: the default model).
    ``alpha``: ``"keep"`` encodes the transparency of a picture if the model supports transparency,
    and otherwise composites the picture over white; ``"flatten"`` always composites it over white.
    ``effort``: ``"fast"`` encodes without a network and ``"best"`` takes several times as long as
    ``"default"`` for a better picture in the same bytes, if the model can do that.
    ``limits``: `thumbstream.ImageLimits` for picture files; PIL images and arrays are not limited.

    Raises `ValueError` for arguments out of range, `TypeError` if ``image`` has another type,
    `thumbstream.IngestError` for a file that cannot be read as a picture, and
    `thumbstream.UnknownModelError` for a model that is not installed.
    """
    goal = Target.parse(target) if isinstance(target, str) else target
    options = EncodeOptions(
        size, max_bytes, goal, model, _parse(Alpha, alpha), _parse(Effort, effort)
    )
    return encode_picture(image, options, installed_models().load(model), limits=limits).stream


def decode(stream: bytes, *, model: str | None = None) -> NDArray[np.uint8]:
    """Decode a stream, or any prefix of a stream, to a uint8 array ``(H, W, 3)`` in RGB.

    If the stream has transparency, the array is ``(H, W, 4)``: RGB and straight alpha. The header
    of the stream identifies its model; with ``model``, a stream of another model is an error.
    Raises `thumbstream.BitstreamError` for bytes that are not a stream or not a stream of
    ``model``, and `thumbstream.UnknownModelError` for a model that is not installed.
    """
    data = _to_bytes(stream)
    models = installed_models()
    codec = models.codec_for_stream(data) if model is None else models.load(model)
    return codec.decode(data)


def inspect(stream: bytes) -> dict[str, Any]:
    """Return the properties of a stream, or of a prefix of a stream, by name.

    ``model`` and ``bitstream_id`` (None if the prefix ends before the id), ``width`` and ``height``
    in pixels, ``alpha`` (whether the stream has transparency), ``aspect_ratio`` (width to height of
    the original: exact if the header contains a ratio, else computed from ``width`` and
    ``height``), ``length`` and ``header_length`` in bytes, ``bits_per_pixel``, ``cells`` (number of
    latent cells).

    Models of the paper add ``codes`` (number of codes that the bytes determine),
    ``codes_per_iteration`` (over all cells), ``iterations`` (number of iterations begun),
    ``stopped_cells`` (number of cells without further iterations), and ``raw_length`` (bytes of the
    same codes without entropy coding). The default model adds ``axis`` (number of the colour axis),
    ``symbols`` (number of symbols that the bytes determine), ``planes`` (number of planes that are
    complete in all channel groups) and ``step`` (plane and channel group in which the bytes end,
    None for a complete stream).

    Raises `thumbstream.BitstreamError` or `thumbstream.UnknownModelError`.
    """
    data = _to_bytes(stream)
    return installed_models().codec_for_stream(data).inspect(data)


def _to_bytes(stream: bytes) -> bytes:
    return bytes(memoryview(stream))  # bytes(5) would be five zeros, which are a valid stream


def _parse(kind: type[T], value: str) -> T:
    try:
        return kind(value)
    except ValueError:
        name, known = kind.__name__.lower(), " or ".join(kind)
        raise ValueError(f"{name} must be {known}, got {value!r}") from None
