"""`thumbstream.encode`, `decode` and `inspect`: everything that is a picture, and every prefix."""

from __future__ import annotations

import fcntl
import inspect as python_inspect
import io
import os
import shutil
import subprocess
import sys
import termios
import threading
from array import array
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from launch import wait_until
from numpy.typing import NDArray
from PIL import Image

import thumbstream
from thumbstream import models as models_module
from thumbstream.codec.bitstream import parse_header, write_header
from thumbstream.codec.prefix_search import Target
from thumbstream.codec.quality import MEASURES
from thumbstream.errors import IngestError, InvalidImageError, UnsupportedFormatError
from thumbstream.images import reduce_to_grid
from thumbstream.models import DEFAULT_MODEL, PAPER_MODELS, ModelRegistry, installed_models

Pixels = NDArray[np.uint8]
PhotoLike = Callable[..., Pixels]

PAPER = "conv-lstm-1"
"""A model of the paper, for what only its family says, whatever the default is."""


@pytest.fixture
def pixels(photo_like: PhotoLike) -> Pixels:
    """(60, 96, 3): five to eight."""
    return photo_like(96, 60)


@pytest.fixture
def png(pixels: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def stream(pixels: Pixels) -> bytes:
    return thumbstream.encode(pixels)


@pytest.fixture
def paper_stream(pixels: Pixels) -> bytes:
    return thumbstream.encode(pixels, model=PAPER)


def test_the_example_of_the_package(tmp_path: Path, photo_like: PhotoLike) -> None:
    Image.fromarray(photo_like(300, 200)).save(tmp_path / "photo.jpg")
    stream = thumbstream.encode(tmp_path / "photo.jpg")
    assert len(stream) > 100
    assert thumbstream.decode(stream[:64]).shape == (21, 32, 3)


# What encode takes


class Pipe:
    """A file object that can be read from front to back, ``most`` bytes at a time, and no more."""

    def __init__(self, data: bytes, most: int) -> None:
        self._data, self._most = data, most

    def read(self, size: int = -1) -> bytes:
        count = self._most if size < 0 else min(size, self._most)
        part, self._data = self._data[:count], self._data[count:]
        return part


def test_encode_takes_every_kind_of_picture(tmp_path: Path, png: bytes, stream: bytes) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(png)
    assert thumbstream.encode(path) == stream
    assert thumbstream.encode(str(path)) == stream
    assert thumbstream.encode(png) == stream
    assert thumbstream.encode(bytearray(png)) == stream
    assert thumbstream.encode(memoryview(png)) == stream
    assert thumbstream.encode(io.BytesIO(png)) == stream
    assert thumbstream.encode(Image.open(path)) == stream
    with path.open("rb") as file:
        assert thumbstream.encode(file) == stream


def test_encode_takes_any_path_like_object(tmp_path: Path, png: bytes, stream: bytes) -> None:
    class Own:
        def __fspath__(self) -> str:
            return str(tmp_path / "picture.png")

    (tmp_path / "picture.png").write_bytes(png)
    assert thumbstream.encode(Own()) == stream


def test_a_file_object_is_read_from_its_position(png: bytes, stream: bytes) -> None:
    file = io.BytesIO(b"before" + png)
    file.seek(6)
    assert thumbstream.encode(file) == stream


@pytest.mark.parametrize("most", [7, 1 << 20])
def test_a_file_object_that_cannot_seek(png: bytes, stream: bytes, most: int) -> None:
    """Also one that returns fewer bytes than requested, as raw pipes and sockets do."""
    assert thumbstream.encode(Pipe(png, most)) == stream


def unread_bytes(pipe: int) -> int:
    count = array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]


@pytest.mark.parametrize("buffering", [-1, 0], ids=["buffered", "raw"])
def test_a_real_pipe(png: bytes, stream: bytes, buffering: int) -> None:
    read, write = os.pipe()
    half = len(png) // 2

    def feed() -> None:
        with suppress(BrokenPipeError), open(write, "wb", buffering=0) as end:
            end.write(png[:half])
            wait_until(lambda: unread_bytes(read) == 0, "the first half is read")
            end.write(png[half:])

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        with open(read, "rb", buffering=buffering) as file:
            assert thumbstream.encode(file) == stream
    finally:
        feeder.join()


def test_arrays(pixels: Pixels, stream: bytes) -> None:
    opaque = np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])
    assert thumbstream.encode(opaque) == stream
    assert thumbstream.encode(np.asfortranarray(pixels)) == stream
    assert thumbstream.encode(pixels[::-1][::-1]) == stream
    grey = pixels[..., 1]
    of_grey = thumbstream.encode(np.dstack([grey] * 3))
    assert thumbstream.encode(grey) == of_grey
    assert thumbstream.encode(grey[..., None]) == of_grey
    assert of_grey != stream


def test_arrays_are_not_changed(pixels: Pixels) -> None:
    before = pixels.copy()
    pixels.flags.writeable = False
    thumbstream.encode(pixels)
    np.testing.assert_array_equal(pixels, before)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "I;16", "HSV", "F"])
def test_picture_modes(pixels: Pixels, mode: str) -> None:
    picture = Image.fromarray(pixels)
    source = picture.convert("L") if mode in ("I;16", "F", "1", "LA") else picture
    converted = source.convert(mode) if mode != "I;16" else source.convert("I").convert("I;16")
    stream = thumbstream.encode(converted)
    assert thumbstream.decode(stream).shape == (20, 32, 3)
    assert thumbstream.encode(converted) == stream


@pytest.mark.parametrize("mode", ["RGBA", "CMYK"])
def test_modes_without_loss_give_nearly_the_same_picture(pixels: Pixels, mode: str) -> None:
    """RGB in another mode is the same picture; CMYK and back may be off by a level or two."""
    expected = thumbstream.decode(thumbstream.encode(pixels)).astype(int)
    found = thumbstream.decode(thumbstream.encode(Image.fromarray(pixels).convert(mode)))
    assert np.abs(found - expected).mean() < 6


def test_hidden_colours_do_not_matter(pixels: Pixels) -> None:
    hidden = np.dstack([pixels, np.zeros(pixels.shape[:2], np.uint8)])
    other = np.dstack([255 - pixels, np.zeros(pixels.shape[:2], np.uint8)])
    assert thumbstream.encode(hidden) == thumbstream.encode(other)


# Shapes


@pytest.mark.parametrize("size", [8, 16, 32, 40, 64])
def test_sizes(pixels: Pixels, size: int) -> None:
    stream = thumbstream.encode(pixels, size=size)
    assert thumbstream.decode(stream).shape == (round(size * 60 / 96), size, 3)


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (64, 64, (32, 32)),
        (300, 200, (32, 21)),
        (200, 300, (21, 32)),
        (1000, 3, (32, 1)),
        (2, 700, (1, 32)),
        (1, 1, (8, 8)),
        (5, 4, (8, 6)),
        (33, 32, (32, 31)),
    ],
)
def test_the_aspect_is_kept(width: int, height: int, expected: tuple[int, int]) -> None:
    stream = thumbstream.encode(np.full((height, width, 3), 77, np.uint8))
    facts = thumbstream.inspect(stream)
    assert (facts["width"], facts["height"]) == expected


def test_decoded_stream_resembles_the_picture(pixels: Pixels, stream: bytes) -> None:
    small = np.asarray(Image.fromarray(pixels).resize((32, 20), Image.Resampling.LANCZOS), float)
    error = np.sqrt(((thumbstream.decode(stream) - small) ** 2).mean())
    assert error < 0.6 * small.std()


# Fewer bytes


def test_max_bytes_is_a_prefix(pixels: Pixels, stream: bytes) -> None:
    for count in (1, 2, 16, 64, len(stream), len(stream) + 1, 10**9):
        assert thumbstream.encode(pixels, max_bytes=count) == stream[:count]


@pytest.mark.parametrize("count", [1, 2, 3, 8, 64])
def test_prefixes_can_be_decoded_and_inspected(stream: bytes, count: int) -> None:
    assert thumbstream.decode(stream[:count]).shape == (20, 32, 3)
    facts = thumbstream.inspect(stream[:count])
    assert facts["length"] == count
    assert facts["bits_per_pixel"] == round(8 * count / (20 * 32), 4)


COMMON_FACTS = {
    "model",
    "bitstream_id",
    "width",
    "height",
    "alpha",
    "aspect_ratio",
    "length",
    "header_length",
    "bits_per_pixel",
    "cells",
}


@pytest.mark.parametrize("model", installed_models().installed)
def test_inspect_of_every_model(pixels: Pixels, model: str) -> None:
    stream = thumbstream.encode(pixels, model=model)
    facts = thumbstream.inspect(stream)
    assert facts.keys() > COMMON_FACTS
    assert (facts["model"], facts["length"], facts["cells"]) == (model, len(stream), 12)
    assert facts["bitstream_id"] == installed_models().manifest(model)["bitstream_id"]
    assert (facts["width"], facts["height"], facts["alpha"]) == (32, 20, False)
    assert facts["aspect_ratio"] == (32, 20)
    assert facts["header_length"] == parse_header(stream).length


def test_inspect_of_a_whole_stream(paper_stream: bytes) -> None:
    facts, stream = thumbstream.inspect(paper_stream), paper_stream
    manifest = installed_models().manifest(PAPER)
    per_iteration = 3 * 4 * manifest["planes"]
    codes = manifest["iterations"] * per_iteration
    assert facts == {
        "model": manifest["model_id"],
        "bitstream_id": manifest["bitstream_id"],
        "width": 32,
        "height": 20,
        "alpha": False,
        "aspect_ratio": (32, 20),
        "length": len(stream),
        "header_length": 1,
        "codes": codes,
        "codes_per_iteration": per_iteration,
        "iterations": manifest["iterations"],
        "cells": 12,
        "stopped_cells": 0,
        "bits_per_pixel": round(8 * len(stream) / 640, 4),
        "raw_length": 1 + codes // 8,
    }


def test_inspect_of_a_header_alone(paper_stream: bytes) -> None:
    facts = thumbstream.inspect(paper_stream[:1])
    assert (facts["codes"], facts["iterations"], facts["raw_length"]) == (0, 0, 1)


def test_inspect_of_a_header_cut_before_its_model() -> None:
    facts = thumbstream.inspect(b"\xe9")
    assert (facts["model"], facts["bitstream_id"]) == (None, None)
    assert (facts["width"], facts["height"], facts["alpha"]) == (80, 80, False)
    assert thumbstream.inspect(b"\xc9")["alpha"]


def test_inspect_never_counts_fewer_codes_in_more_bytes(paper_stream: bytes) -> None:
    lengths = range(1, len(paper_stream) + 1, 5)
    codes = [thumbstream.inspect(paper_stream[:n])["codes"] for n in lengths]
    assert codes == sorted(codes)
    assert codes[-1] > codes[0] == 0


def test_streams_can_be_any_buffer(stream: bytes) -> None:
    expected = thumbstream.decode(stream)
    for buffer in (bytearray(stream), memoryview(stream), np.frombuffer(stream, np.uint8)):
        np.testing.assert_array_equal(thumbstream.decode(buffer), expected)
        assert thumbstream.inspect(buffer)["length"] == len(stream)


# Targets


@pytest.fixture
def on_grid(pixels: Pixels) -> Pixels:
    """What the codec sees of the picture."""
    reduced = reduce_to_grid(Image.fromarray(pixels), 32)
    return reduced.pixels


@pytest.mark.parametrize("measure", MEASURES)
def test_the_fewest_bytes_that_reach_a_quality(
    pixels: Pixels, on_grid: Pixels, stream: bytes, measure: str
) -> None:
    """Of all prefixes: nothing shorter is as good as the goal, which sixty bytes are."""
    sixty = thumbstream.decode(stream[:60])
    goal = Target(measure, float(MEASURES[measure](on_grid, sixty)))
    found = thumbstream.encode(pixels, target=goal)
    assert found == stream[: len(found)]
    assert len(found) <= 60
    assert goal.reached(on_grid, thumbstream.decode(found))
    for n in range(1, len(found)):
        assert not goal.reached(on_grid, thumbstream.decode(stream[:n]))
    assert thumbstream.encode(pixels, target=f"{measure}:{goal.value!r}") == found


def test_a_target_in_bytes_is_a_prefix_of_a_model_without_stops(pixels: Pixels) -> None:
    stream = thumbstream.encode(pixels, model=PAPER)
    for count in (1, 16, 64, 10**6):
        found = thumbstream.encode(pixels, target=f"bytes:{count}", model=PAPER)
        assert found == stream[:count]


def test_a_target_in_bytes_is_met_to_the_byte(pixels: Pixels) -> None:
    """By a stream that was optimized for this length; its shorter prefixes do not matter."""
    for count in (1, 16, 64):
        assert len(thumbstream.encode(pixels, target=f"bytes:{count}")) == count


def test_a_target_that_no_prefix_reaches_gives_the_full_stream(
    pixels: Pixels, stream: bytes
) -> None:
    assert thumbstream.encode(pixels, target="psnr:100") == stream


@pytest.mark.parametrize("target", ["", "ssim", "ssim:2", "psnr:0", "bytes:0", "vmaf:90"])
def test_rejects_invalid_targets(pixels: Pixels, target: str) -> None:
    with pytest.raises(ValueError, match="target"):
        thumbstream.encode(pixels, target=target)


def test_rejects_a_target_with_max_bytes(pixels: Pixels) -> None:
    with pytest.raises(ValueError, match="exclude each other"):
        thumbstream.encode(pixels, target="ssim:0.5", max_bytes=64)


@pytest.mark.parametrize("model", installed_models().installed)
@pytest.mark.parametrize("target", ["ssim:0.5", "psnr:18", "bytes:40"])
def test_targets_of_every_model(pixels: Pixels, on_grid: Pixels, model: str, target: str) -> None:
    found = thumbstream.encode(pixels, target=target, model=model)
    plain = thumbstream.encode(pixels, model=model)
    assert len(found) <= len(plain)
    assert thumbstream.inspect(found)["model"] == model
    goal = Target.parse(target)
    reached = goal.reached(on_grid, thumbstream.decode(found))
    assert reached or (found == plain and not goal.reached(on_grid, thumbstream.decode(plain)))


# The model


def test_models_by_name(pixels: Pixels, stream: bytes) -> None:
    default = installed_models().installed[0]
    assert thumbstream.encode(pixels, model=default) == stream
    np.testing.assert_array_equal(
        thumbstream.decode(stream, model=default), thumbstream.decode(stream)
    )


@pytest.mark.parametrize("model", ["absent", "../zoo", "conv-lstm-1/", "CONV-LSTM-1", "."])
def test_rejects_unknown_models(pixels: Pixels, stream: bytes, model: str) -> None:
    for call in (
        lambda: thumbstream.encode(pixels, model=model),
        lambda: thumbstream.decode(stream, model=model),
    ):
        with pytest.raises(thumbstream.UnknownModelError, match=r"is not installed|unknown model"):
            call()


def test_rejects_a_stream_of_an_unknown_model() -> None:
    stream = bytes([0xE3, 126, 20]) + bytes(9)
    for call in (thumbstream.decode, thumbstream.inspect):
        with pytest.raises(
            thumbstream.UnknownModelError, match="no installed model reads bitstream id 126"
        ):
            call(stream)


# What is wrong


@pytest.mark.parametrize("size", [0, 7, 33, 264, -32])
def test_rejects_invalid_sizes(pixels: Pixels, size: int) -> None:
    with pytest.raises(ValueError, match="multiple of 8"):
        thumbstream.encode(pixels, size=size)


@pytest.mark.parametrize("size", [32.0, "32", True, None])
def test_rejects_sizes_that_are_not_integers(pixels: Pixels, size: Any) -> None:
    with pytest.raises(TypeError, match="size: expected an integer"):
        thumbstream.encode(pixels, size=size)


def test_takes_integers_of_numpy(pixels: Pixels) -> None:
    expected = thumbstream.encode(pixels, size=16, max_bytes=20)
    assert thumbstream.encode(pixels, size=np.int64(16), max_bytes=np.uint8(20)) == expected


@pytest.mark.parametrize("count", [0, -1])
def test_rejects_invalid_byte_counts(pixels: Pixels, count: int) -> None:
    with pytest.raises(ValueError, match="max_bytes"):
        thumbstream.encode(pixels, max_bytes=count)


@pytest.mark.parametrize(
    "value",
    [None, 3, 2.5, [1, 2], {}, object(), Image],
    ids=lambda value: type(value).__name__,
)
def test_rejects_what_is_not_a_picture(value: Any) -> None:
    with pytest.raises(TypeError, match="expected a PIL image"):
        thumbstream.encode(value)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((9, 9, 3), np.float32),
        ((9, 9), np.uint16),
        ((9, 9, 3), np.bool_),
        ((9, 9, 2), np.uint8),
        ((9, 9, 5), np.uint8),
        ((9,), np.uint8),
        ((), np.uint8),
        ((1, 9, 9, 3), np.uint8),
    ],
    ids=str,
)
def test_rejects_arrays_of_other_shapes_and_types(shape: tuple[int, ...], dtype: type) -> None:
    with pytest.raises(TypeError, match=r"expected an array of shape \(H, W\)"):
        thumbstream.encode(np.zeros(shape, dtype))


@pytest.mark.parametrize("shape", [(0, 9, 3), (9, 0, 3), (0, 0)], ids=str)
def test_rejects_empty_arrays(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="empty"):
        thumbstream.encode(np.zeros(shape, np.uint8))


def test_rejects_files_that_are_not_pictures(tmp_path: Path, png: bytes) -> None:
    text = tmp_path / "text.png"
    text.write_text("no picture")
    for source in (text, str(text), b"no picture", b"", io.BytesIO(b"")):
        with pytest.raises(UnsupportedFormatError):
            thumbstream.encode(source)
    with pytest.raises(InvalidImageError):
        thumbstream.encode(png[: len(png) // 2])


def test_missing_files_are_os_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        thumbstream.encode(tmp_path / "absent.png")
    with pytest.raises(IsADirectoryError):
        thumbstream.encode(tmp_path)


def test_rejects_a_file_open_for_text(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("no picture")
    with path.open() as file, pytest.raises(TypeError, match="expected a binary file"):
        thumbstream.encode(file)  # type: ignore[arg-type]


def test_says_that_a_file_is_empty(png: bytes) -> None:
    at_its_end = io.BytesIO(png)
    at_its_end.read()
    for source in (b"", at_its_end):
        with pytest.raises(UnsupportedFormatError, match="empty: 0 bytes"):
            thumbstream.encode(source)


def test_says_that_a_picture_is_closed(tmp_path: Path, png: bytes, stream: bytes) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(png)
    with Image.open(path) as image:
        pass
    with pytest.raises(ValueError, match="the picture is closed"):
        thumbstream.encode(image)
    with Image.open(path) as image:
        image.load()
    assert thumbstream.encode(image.copy()) == stream


def test_limits_of_files_can_be_set(png: bytes, stream: bytes, pixels: Pixels) -> None:
    small = thumbstream.ImageLimits(max_pixels=96 * 60 - 1)
    with pytest.raises(thumbstream.TooManyPixelsError, match="5759 pixels"):
        thumbstream.encode(png, limits=small)
    assert thumbstream.encode(png, limits=thumbstream.ImageLimits(max_pixels=96 * 60)) == stream
    assert thumbstream.encode(pixels, limits=small) == stream  # of files only
    with pytest.raises(thumbstream.TooManyBytesError):
        thumbstream.encode(png, limits=thumbstream.ImageLimits(max_bytes=len(png) - 1))


@pytest.mark.parametrize("value", [None, "e0", 5, 0, -1, 10**15, 1.5, ["a"]], ids=repr)
def test_rejects_streams_of_other_types(value: Any) -> None:
    """Also a number: ``bytes(5)`` would be five zeros, which are a valid stream."""
    for call in (thumbstream.decode, thumbstream.inspect):
        with pytest.raises(TypeError):
            call(value)


@pytest.mark.parametrize("stream", [b"", b"\x96", b"\xa3PNG\r\n\x1a\n"])
def test_rejects_bytes_that_are_not_a_stream(stream: bytes) -> None:
    for call in (thumbstream.decode, thumbstream.inspect):
        with pytest.raises(thumbstream.BitstreamError):
            call(stream)


def test_every_error_is_a_thumbstream_error() -> None:
    for name in thumbstream.__all__:
        if name.endswith("Error"):
            assert issubclass(getattr(thumbstream, name), thumbstream.ThumbstreamError)


def test_every_error_of_the_three_functions_is_public() -> None:
    for name in ("BitstreamError", "IngestError", "UnknownModelError", "DeviceError"):
        assert name in thumbstream.__all__
    for error in IngestError.__subclasses__():
        assert getattr(thumbstream, error.__name__) is error


@pytest.mark.parametrize("bitstream_id", sorted(PAPER_MODELS))
def test_the_error_names_the_distribution_of_a_missing_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bitstream_id: int
) -> None:
    default = models_module.find_models()[DEFAULT_MODEL]
    monkeypatch.setattr(models_module, "find_models", lambda: {DEFAULT_MODEL: default})
    models = ModelRegistry()
    name = PAPER_MODELS[bitstream_id]
    stream = write_header(bitstream_id, 40, 24) + bytes(9)
    for call in (
        lambda: models.load(name),
        lambda: models.resolve(name),
        lambda: models.codec_for_stream(stream),
    ):
        with pytest.raises(
            thumbstream.UnknownModelError,
            match=f"{name} is not installed: pip install thumbstream-paper-models",
        ):
            call()


def test_models_of_other_distributions_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "some_models"
    shutil.copytree(models_module.find_models()[DEFAULT_MODEL], package / "another-1")
    (package / "__init__.py").touch()
    info = tmp_path / "some_models-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: some-models\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[thumbstream.models]\nsome = some_models\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = models_module.find_models()
    assert next(iter(found)) == DEFAULT_MODEL
    assert found["another-1"] == package / "another-1"


# The package


def test_public_names_are_documented() -> None:
    assert {"encode", "decode", "inspect", "BitstreamError", "__version__"} <= set(
        thumbstream.__all__
    )
    assert thumbstream.__doc__
    for name in thumbstream.__all__:
        value = getattr(thumbstream, name)
        if name != "__version__":
            assert python_inspect.getdoc(value), name
    assert isinstance(thumbstream.__version__, str)


@pytest.mark.parametrize("function", ["encode", "decode", "inspect"])
def test_arguments_and_errors_are_documented(function: str) -> None:
    value = getattr(thumbstream, function)
    text = python_inspect.getdoc(value) or ""
    for parameter in list(python_inspect.signature(value).parameters)[1:]:
        assert f"``{parameter}``" in text
    assert "Raises" in text or "raises" in text


@pytest.mark.parametrize("model", installed_models().installed)
def test_what_inspect_returns_is_documented(pixels: Pixels, model: str) -> None:
    text = python_inspect.getdoc(thumbstream.inspect) or ""
    facts = thumbstream.inspect(thumbstream.encode(pixels, model=model))
    assert all(f"``{key}``" in text for key in facts)


def test_importing_it_loads_no_web_and_no_network_framework() -> None:
    """Nor does it open a model: that is the first call's work."""
    code = (
        "import sys, thumbstream; from thumbstream.models import installed_models; "
        "print(sorted({'torch', 'fastapi', 'uvicorn', 'redis'} & set(sys.modules)), "
        "installed_models()._open)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120
    )
    assert result.stdout.strip() == "[] {}", result.stderr
