"""From a checkpoint of the lapped family to a model folder that the codec reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny_transform import TINY

from thumbstream.codec.base import open_codec
from thumbstream.codec.effort import Effort
from thumbstream.codec.lapped.codec import LappedCodec
from thumbstream_models import cli
from thumbstream_models.lapped import graphs, publish, quantisation, training
from thumbstream_models.training import runs

ROOT = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def checkpoint(picture_folder: Path, tmp_path_factory: Any) -> Path:
    out: Path = tmp_path_factory.mktemp("training")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.precision, "fastest", lambda *_: "float32")
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "crops"))
        training.train(TINY, [picture_folder], out, device_name="cpu")
    return out / "checkpoint.pt"


@pytest.fixture(scope="module")
def published(checkpoint: Path, picture_folder: Path, tmp_path_factory: Any) -> Path:
    zoo: Path = tmp_path_factory.mktemp("zoo")
    sources = zoo / "sources.md"
    sources.write_text("Synthetic pictures.")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "crops"))
        command = ["publish", str(checkpoint), str(picture_folder), "--zoo", str(zoo)]
        assert cli.main([*command, "--notes", "By a test.", "--sources", str(sources)]) == 0
    return zoo / TINY.model_id


def test_codec_opens_the_folder(published: Path) -> None:
    codec = open_codec(published, device="cpu")
    assert isinstance(codec, LappedCodec)
    rng = np.random.default_rng(0)
    pixels = np.cumsum(rng.normal(0, 8, (24, 40, 3)), 1).clip(-120, 120).astype(np.int16) + 128
    pixels = pixels.astype(np.uint8)
    stream = codec.encode(pixels)
    errors = []
    for length in (4, len(stream) // 2, len(stream)):
        decoded = codec.decode(stream[:length])
        assert decoded.shape == pixels.shape
        errors.append(float(np.square(decoded.astype(float) - pixels).mean()))
    assert errors[0] > errors[1] > errors[2]


@pytest.mark.parametrize("effort", Effort)
def test_every_effort_encodes(published: Path, effort: Effort) -> None:
    codec = open_codec(published, device="cpu")
    pixels = np.linspace(0, 255, 24 * 16 * 4).reshape(16, 24, 4).astype(np.uint8)
    stream = codec.encode(pixels, effort=effort)
    assert codec.decode(stream).shape == pixels.shape
    assert stream == codec.encode(pixels, effort=effort)


def test_manifest_and_card(published: Path) -> None:
    manifest = json.loads((published / "manifest.json").read_text())
    jsonschema.validate(manifest, json.loads((ROOT / "docs/manifest.schema.json").read_text()))
    assert manifest["bitstream_id"] == 8
    assert manifest["training"]["steps"] == TINY.training.steps
    assert 0 < manifest["measured"]["client_bytes"] < publish.CLIENT_LIMIT
    card = (published / "MODEL_CARD.md").read_text()
    assert "Synthetic pictures." in card
    assert "By a test." in card


def test_codec_draws_what_the_training_drew(checkpoint: Path, published: Path) -> None:
    """At the end of a plane: of the first look, and of a later one."""
    run, codec = publish.load_rounded(checkpoint), open_codec(published, device="cpu")
    assert isinstance(codec, LappedCodec)
    x = torch.rand(1, 3, 32, 32) * 1.6 - 0.8
    x = runs.to_tensor(runs.to_pixels(x), CPU)
    stream = codec.encode(runs.to_pixels(x)[0])
    quality = torch.tensor([1.2])
    with torch.no_grad():
        expected = run.net(x, quality, "float32").x_hat
    depth = float(-torch.log2(quantisation.cuts(quality).others)) + 0.375
    plane = int(np.floor(depth * 4 + 32 + 0.5))
    found = min(
        (
            float(np.abs(codec.decode(stream[:n]).astype(float) - pixels_of(expected)).mean())
            for n in range(len(stream) // 4, len(stream))
        ),
    )
    assert plane > 31
    assert found < 1.5


def pixels_of(x_hat: torch.Tensor) -> NDArray[np.float64]:
    return runs.to_pixels(x_hat)[0].astype(float)


def test_graphs_are_the_networks(checkpoint: Path) -> None:
    run = publish.load_rounded(checkpoint)
    files = graphs.to_onnx(run.net, run.config.distortion)
    assert graphs.parity(run.net, run.config.distortion, files) < 1e-4


def test_parts_are_measured(published: Path, checkpoint: Path, picture_folder: Path) -> None:
    out = published.parent / "ablation.md"
    command = ["ablate", str(published), str(picture_folder), "--checkpoint", str(checkpoint)]
    assert cli.main([*command, "--size", "16", "--limit", "2", "--out", str(out)]) == 0
    page = out.read_text()
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 8
    assert "2 pictures" in page
    assert "nan" not in page


def test_too_large_a_client_is_an_error(
    checkpoint: Path, picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "CLIENT_LIMIT", 100)
    with pytest.raises(ValueError, match="the limit is 100"):
        publish.publish(checkpoint, [picture_folder], tmp_path, notes="", sources_text="")
