"""Transparency and aspect ratio through the library and the command line.

With a small untrained model that has alpha, in place of the published ones.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent / "codec"))

from codec_lapped import lapped_folder

import thumbstream
from thumbstream import cli
from thumbstream.codec.base import Codec, open_codec
from thumbstream.codec.bitstream import parse_header
from thumbstream.codec.prefix_search import Target
from thumbstream.codec.quality import psnr
from thumbstream.encoding import EncodeOptions, encode_picture
from thumbstream.images import reduce_to_grid
from thumbstream.models import DEFAULT_MODEL, installed_models

Pixels = NDArray[np.uint8]
PAPER = "conv-lstm-1"


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Codec:
    return open_codec(lapped_folder(tmp_path_factory.mktemp("zoo") / "tiny"), device="cpu")


@pytest.fixture(autouse=True)
def _published(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    """The small model is the default and reads its streams; the others stay what they are."""
    models = installed_models()
    load, codec_for_stream = models.load, models.codec_for_stream

    def loaded(model_id: str | None = None) -> Codec:
        return codec if model_id in (None, DEFAULT_MODEL) else load(model_id)

    def decoder(stream: bytes) -> Codec:
        own = parse_header(stream).bitstream_id in (None, codec.bitstream_id)
        return codec if own else codec_for_stream(stream)

    monkeypatch.setattr(models, "load", loaded)
    monkeypatch.setattr(models, "codec_for_stream", decoder)


@pytest.fixture
def pixels() -> Pixels:
    """(200, 300, 4): a blue ball on nothing."""
    y, x = np.mgrid[:200, :300]
    inside = np.hypot(x - 150, y - 100) < 80
    colours = np.stack([x / 3, y / 2, np.full_like(x, 210)], -1)
    return np.where(inside[..., None], np.dstack([colours, np.full_like(x, 255)]), 0).astype(
        np.uint8
    )


@pytest.fixture
def path(tmp_path: Path, pixels: Pixels) -> Path:
    Image.fromarray(pixels).save(tmp_path / "ball.png")
    return tmp_path / "ball.png"


def test_transparency_is_kept(pixels: Pixels, path: Path) -> None:
    streams = {
        thumbstream.encode(source)
        for source in (pixels, Image.fromarray(pixels), path, path.read_bytes())
    }
    assert len(streams) == 1
    stream = streams.pop()
    decoded = thumbstream.decode(stream)
    assert decoded.shape == (21, 32, 4)
    assert decoded[10, 16, 3] > 200
    assert decoded[0, 0, 3] < 55
    small = reduce_to_grid(Image.fromarray(pixels), 32, alpha=True).pixels
    assert psnr(small, decoded) > 15  # crude: the model is untrained


@pytest.mark.parametrize("count", [1, 2, 3, 4, 16, 64])
def test_every_prefix_has_alpha(pixels: Pixels, count: int) -> None:
    stream = thumbstream.encode(pixels)[:count]
    facts = thumbstream.inspect(stream)
    assert facts["alpha"] is True
    assert thumbstream.decode(stream).shape == (facts["height"], facts["width"], 4)


def test_flattens_on_request_and_for_models_without_alpha(pixels: Pixels) -> None:
    white = np.where(pixels[..., 3:] == 0, 255, pixels[..., :3]).astype(np.uint8)
    for model in (None, PAPER):
        for alpha in ("keep", "flatten") if model else ("flatten",):
            found = thumbstream.encode(pixels, model=model, alpha=alpha)
            assert found == thumbstream.encode(white, model=model)
            assert thumbstream.inspect(found)["alpha"] is False
            assert thumbstream.decode(found).shape == (21, 32, 3)


def test_an_opaque_alpha_channel_is_dropped(pixels: Pixels) -> None:
    pixels[..., 3] = 255
    assert thumbstream.encode(pixels) == thumbstream.encode(pixels[..., :3])


@pytest.mark.parametrize("alpha", ["", "KEEP", "drop", None, True])
def test_rejects_invalid_alpha(pixels: Pixels, alpha: Any) -> None:
    with pytest.raises(ValueError, match="alpha must be keep or flatten"):
        thumbstream.encode(pixels, alpha=alpha)


@pytest.mark.parametrize("goal", ["psnr:15", "ssim:0.3", "bytes:30"])
def test_targets_measure_transparency(pixels: Pixels, codec: Codec, goal: str) -> None:
    """Quality is measured over black and over white."""
    target = Target.parse(goal)
    encoded = encode_picture(pixels, EncodeOptions(target=target), codec)
    assert encoded.target_reached
    stream = encoded.stream
    assert stream == thumbstream.encode(pixels, target=goal)
    small = reduce_to_grid(Image.fromarray(pixels), 32, alpha=True).pixels
    assert target.reached(small, thumbstream.decode(stream))
    assert len(stream) < len(thumbstream.encode(pixels))


# Aspect ratio


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        *((300, 200, (3, 2)), (200, 300, (2, 3)), (1200, 801, (3, 2)), (630, 270, (21, 9))),
        *((320, 240, (32, 24)), (640, 640, (32, 32)), (300, 209, (32, 22))),
    ],
)
def test_the_header_has_the_exact_ratio(width: int, height: int, expected: tuple[int, int]) -> None:
    stream = thumbstream.encode(np.zeros((height, width, 3), np.uint8))
    facts = thumbstream.inspect(stream)
    assert facts["aspect_ratio"] == expected
    assert facts["header_length"] == 1


# The command line


def main(*arguments: str | Path) -> int:
    return cli.main([str(argument) for argument in arguments])


@pytest.mark.parametrize(("suffix", "form"), [(".png", "PNG"), (".webp", "WEBP")])
def test_encode_and_decode(tmp_path: Path, path: Path, suffix: str, form: str) -> None:
    stored, decoded = tmp_path / "ball.ths", tmp_path / f"decoded{suffix}"
    assert main("encode", path, "-o", stored) == 0
    assert main("decode", stored, "-o", decoded, "--scale", "4") == 0
    with Image.open(decoded) as image:
        assert (image.format, image.mode, image.size) == (form, "RGBA", (128, 84))
        alpha = np.asarray(image)[..., 3]
    assert alpha[0, 0] < 55 < 200 < alpha[42, 64]


@pytest.mark.parametrize("target", [[], ["--target", "psnr:12"]])
def test_flatten(
    tmp_path: Path, path: Path, target: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    stored = tmp_path / "ball.ths"
    for choice, alpha in (("keep", True), ("flatten", False)):
        assert main("encode", path, "-o", stored, "--force", "--alpha", choice, *target) == 0
        assert main("inspect", stored, "--json") == 0
        assert json.loads(capsys.readouterr().out)["alpha"] is alpha


def test_inspect_prints_the_ratio(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main("encode", path, "--alpha", "flatten") == 0
    assert main("inspect", f"{path}.ths") == 0
    printed = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert (printed["aspect_ratio"], printed["alpha"]) == ("3:2", "False")


def test_a_file_object(pixels: Pixels, path: Path) -> None:
    assert thumbstream.encode(io.BytesIO(path.read_bytes())) == thumbstream.encode(pixels)
