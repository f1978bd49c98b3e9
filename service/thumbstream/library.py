"""The library in three functions: `encode`, `decode`, `inspect`.

Slicing shortens a stream: ``stream[:64]`` is its preview in 64 bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.prefix_search import Target
from thumbstream.encoding import DEFAULT_SIZE, EncodeOptions, Picture, encode_picture
from thumbstream.images import Alpha, ImageLimits
from thumbstream.models import installed_models


def encode(
    image: Picture,
    *,
    size: int = DEFAULT_SIZE,
    max_bytes: int | None = None,
    target: str | Target | None = None,
    model: str | None = None,
    alpha: str = Alpha.KEEP,
    limits: ImageLimits | None = None,
) -> bytes:
    """The progressive stream of a picture.

    ``image``: a PIL image, a uint8 array ``(H, W)``, ``(H, W, 3)`` or ``(H, W, 4)``, a path, a
    picture file's bytes or a file object open for binary reading.

    ``size``: long side in pixels, a multiple of 8 from 8 to 256; the aspect ratio is kept.
    ``max_bytes``: limit of the stream's length.
    ``target``: ``"ssim:0.85"`` or ``"psnr:28"``, the fewest bytes that reach this quality against
    the picture at its reduced size, or the whole stream if none do; ``"bytes:64"``, the best
    stream of at most 64 bytes. It takes many decodings, and excludes ``max_bytes``.
    ``model``: id of an installed model (default: the default model).
    ``alpha``: ``"keep"`` encodes transparency if the picture has some and the model supports it;
    ``"flatten"``, and a model that does not, composites it over white.
    ``limits``: `thumbstream.ImageLimits` of picture files. An image or array that is open already
    has none.

    Raises `ValueError` for arguments out of range, `TypeError` for something that is not a picture,
    `thumbstream.IngestError` for a file that cannot be read as a picture, and
    `thumbstream.UnknownModelError` for a model that is not installed.
    """
    goal = Target.parse(target) if isinstance(target, str) else target
    options = EncodeOptions(size, max_bytes, goal, model, _parse_alpha(alpha))
    return encode_picture(image, options, installed_models().load(model), limits=limits).stream


def decode(stream: bytes, *, model: str | None = None) -> NDArray[np.uint8]:
    """The picture of a stream or of any prefix of one: ``(H, W, 3)`` uint8 RGB.

    ``(H, W, 4)`` with straight alpha if the stream has transparency. A stream names its model;
    ``model`` makes any other an error. Raises `thumbstream.BitstreamError` for bytes that are not a
    stream, or not one of ``model``, and `thumbstream.UnknownModelError` for a model that is not
    installed.
    """
    data = _to_bytes(stream)
    models = installed_models()
    codec = models.codec_for_stream(data) if model is None else models.load(model)
    return codec.decode(data)


def inspect(stream: bytes) -> dict[str, Any]:
    """What a stream or a prefix of one says about itself.

    ``model`` and ``bitstream_id`` (None if the header is cut before it), ``width`` and ``height``
    in pixels, ``alpha`` (whether it has transparency), ``aspect_ratio`` (width to height of the
    original: exact if the header names a ratio, else that of the pixels), ``length`` and
    ``header_length`` in bytes, ``bits_per_pixel``, ``cells``.

    Models of the paper add ``codes`` (how many the bytes determine), ``codes_per_iteration`` (of
    all cells), ``iterations`` (begun), ``stopped_cells`` (which get no further iterations), and
    ``raw_length``: the bytes that the same codes would take without entropy coding. Embedded models
    add ``symbols`` (how many the bytes determine), ``planes`` (complete) and ``step``: where the
    bytes end.

    Raises `thumbstream.BitstreamError` or `thumbstream.UnknownModelError`.
    """
    data = _to_bytes(stream)
    return installed_models().codec_for_stream(data).inspect(data)


def _to_bytes(stream: bytes) -> bytes:
    return bytes(memoryview(stream))  # bytes(5) would be five zeros, which are a valid stream


def _parse_alpha(alpha: str) -> Alpha:
    try:
        return Alpha(alpha)
    except ValueError:
        raise ValueError(f"alpha must be {' or '.join(Alpha)}, got {alpha!r}") from None
