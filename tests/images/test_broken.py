"""Any bytes give a Thumbnail or an IngestError; a file that was cut off gives no half a picture."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from thumbstream.errors import IngestError, InvalidImageError, UnsupportedFormatError
from thumbstream.images import ImageLimits, Thumbnail, reduce_to_grid, thumbnail

SMALL = ImageLimits(max_bytes=1 << 20, max_pixels=1 << 22, max_side=1 << 14)
"""Limits of mutated pictures: large ones would only cost time."""

FORMATS: list[tuple[str, dict[str, Any]]] = [
    ("JPEG", {}),
    ("JPEG", {"progressive": True}),
    ("MPO", {}),
    ("PNG", {}),
    ("WEBP", {}),
    ("WEBP", {"lossless": True}),
    ("GIF", {}),
    ("AVIF", {"speed": 10}),
    ("BMP", {}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("TIFF", {"compression": "jpeg"}),
    ("TIFF", {"compression": "packbits"}),
]
NAMES = ["-".join([name, *(str(v) for v in options.values())]) for name, options in FORMATS]


def picture_file(name: str, options: dict[str, Any], mode: str = "RGB") -> bytes:
    noise = np.random.default_rng(5).normal(0, 12, (48, 64, 3))
    y, x = np.mgrid[0:48, 0:64]
    ramp = np.stack([4 * x, 5 * y, 2 * (x + y)], axis=-1)
    image = Image.fromarray(np.clip(ramp + noise, 0, 255).astype(np.uint8)).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


PARTIAL = ("JPEG", "MPO", "PNG", "BMP", "WEBP")
"""Formats of which pictures with missing pixels are read."""

FILES = [picture_file(name, options) for name, options in FORMATS]
SEEDS = [
    *FILES,
    picture_file("PNG", {}, "RGBA"),
    picture_file("PNG", {"bits": 4}, "P"),
    picture_file("JPEG", {}, "CMYK"),
    picture_file("TIFF", {}, "F"),
    picture_file("GIF", {"save_all": True, "append_images": [Image.new("RGB", (64, 48))]}),
]


def check_invariant(data: bytes) -> None:
    """The invariant of this module."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = thumbnail(data, 8, SMALL)
        except IngestError:
            return
    assert isinstance(result, Thumbnail)
    assert max(result.pixels.shape[:2]) == 8
    assert result.width * result.height <= SMALL.max_pixels


@pytest.mark.parametrize(("name", "options"), FORMATS, ids=NAMES)
def test_cut_file_is_refused_or_reported_as_truncated(name: str, options: dict[str, Any]) -> None:
    data = picture_file(name, options)
    whole = thumbnail(data, 32).pixels.astype(int)
    refused = 0
    for end in range(0, len(data), max(1, len(data) // 120)):
        try:
            found = thumbnail(data[:end], 32)
        except UnsupportedFormatError:
            assert end < 16
        except InvalidImageError:
            refused += 1
        else:
            # Nothing but what comes after the pixels was missing, or a part of them.
            assert found.truncated or name not in ("JPEG", "MPO")
            assert not found.truncated or name in PARTIAL
            if not found.truncated:
                assert np.abs(found.pixels - whole).max() <= 2, f"cut at {end}"
    assert refused > 10


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_mutated_files(data: st.DataObject) -> None:
    mutated = bytearray(data.draw(st.sampled_from(SEEDS)))
    for _ in range(data.draw(st.integers(1, 6))):
        # Headers are at the front: half of the mutations go there.
        end = data.draw(st.sampled_from([min(200, len(mutated)), len(mutated)]))
        position = data.draw(st.integers(0, end - 1))
        kind = data.draw(st.sampled_from(["set", "insert", "delete", "repeat"]))
        piece = data.draw(st.binary(min_size=1, max_size=8))
        if kind == "set":
            mutated[position : position + len(piece)] = piece
        elif kind == "insert":
            mutated[position:position] = piece
        elif kind == "delete" and len(mutated) > 64:
            del mutated[position : position + len(piece)]
        else:
            mutated[position:position] = mutated[position : position + 100]
    check_invariant(bytes(mutated))


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=400))
def test_any_bytes(data: bytes) -> None:
    check_invariant(data)


MAGIC = [file[:16] for file in FILES] + [b"BM", b"\xff\xd8\xff", b"MM\0*", b"II+\0", b"GIF87a"]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(magic=st.sampled_from(MAGIC), data=st.binary(max_size=400))
def test_any_bytes_after_a_magic_number(magic: bytes, data: bytes) -> None:
    check_invariant(magic + data)


def test_bytes_between_two_files() -> None:
    for front in SEEDS:
        for back in SEEDS:
            check_invariant(front[: len(front) // 2] + back[len(back) // 2 :])


@pytest.mark.parametrize(
    "error",
    [
        SyntaxError,
        OSError,
        ValueError,
        TypeError,
        RecursionError,
        EOFError,
        IndexError,
        KeyError,
        OverflowError,
        AssertionError,
        Image.DecompressionBombError,
    ],
)
def test_errors_of_pillow_become_ingest_errors(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fail(*_: object) -> None:
        raise error("inside Pillow")

    monkeypatch.setattr(Image.Image, "load", fail)
    with pytest.raises(IngestError) as refused:
        reduce_to_grid(Image.new("RGB", (8, 8)), 8)
    assert isinstance(refused.value.__cause__, error)


def test_memory_error_is_not_an_ingest_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image.Image, "load", fail)
    with pytest.raises(MemoryError):
        reduce_to_grid(Image.new("RGB", (8, 8)), 8)


def test_interrupt_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "load", interrupt)
    with pytest.raises(KeyboardInterrupt):
        reduce_to_grid(Image.new("RGB", (8, 8)), 8)


def test_lazily_opened_cut_file_is_refused(
    quarters: Image.Image, save: Callable[..., bytes]
) -> None:
    data = save(quarters, "PNG")
    with (
        Image.open(io.BytesIO(data[: len(data) // 2])) as image,
        pytest.raises(InvalidImageError),
    ):
        reduce_to_grid(image, 32)


def test_rejects_a_picture_without_pixels() -> None:
    for size in ((0, 5), (5, 0), (0, 0)):
        with pytest.raises(InvalidImageError, match="no pixels"):
            reduce_to_grid(Image.new("RGB", size), 8)
