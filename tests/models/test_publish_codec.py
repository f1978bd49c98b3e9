"""From checkpoints to a model folder that the codec reads, and its quality."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

from thumbstream.codec.base import open_codec
from thumbstream.codec.embedded.codec import EmbeddedCodec
from thumbstream.codec.model_folder import open_artifact
from thumbstream.codec.runtime import OnnxNetwork
from thumbstream_models import cli
from thumbstream_models.embedded import (
    ablation,
    client_file,
    codec_card,
    publish_codec,
    scaling,
    train_codec,
    transform_graphs,
    weight_rounding,
)
from thumbstream_models.embedded.codec_config import EmbeddedConfig
from thumbstream_models.embedded.quantization_noise import Truncated
from thumbstream_models.embedded.transform_networks import width_of
from thumbstream_models.training.config import ConfigError

ROOT = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")
NOTES, SOURCES = "Trained by a test.", "Synthetic pictures."


@pytest.fixture(scope="module")
def checkpoints(
    product: EmbeddedConfig, picture_folder: Path, tmp_path_factory: Any
) -> tuple[Path, Path]:
    """Of both stages."""
    out = tmp_path_factory.mktemp("checkpoints")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_codec, "SORTING_CROPS", 32)
        patch.setattr(train_codec, "SHARES_STEPS", 5)
        first, second = out / "first", out / "second"
        train_codec.train(product, [picture_folder], first, stage="transform", device_name="cpu")
        resume = first / "checkpoint.pt"
        train_codec.train(
            None, [picture_folder], second, stage="embedding", resume=resume, device_name="cpu"
        )
    return first / "checkpoint.pt", second / "checkpoint.pt"


@pytest.fixture(scope="module")
def published(checkpoints: tuple[Path, Path], picture_folder: Path, tmp_path_factory: Any) -> Path:
    zoo = tmp_path_factory.mktemp("zoo")
    return publish_codec.publish(
        checkpoints[1], [picture_folder], zoo, notes=NOTES, sources_text=SOURCES
    )


def manifest_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return content


def squares(pictures: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    return np.stack([pixels[:24, :24] for pixels in pictures[:4]])


def test_codec_opens_the_folder(published: Path, smooth_pictures: list[NDArray[np.uint8]]) -> None:
    codec = open_codec(published, device="cpu")
    picture = smooth_pictures[0][:16, :24]
    stream = codec.encode(picture)
    assert codec.decode(stream).shape == picture.shape
    assert codec.inspect(stream)["planes"] == 4
    for length in range(1, len(stream)):
        assert codec.decode(stream[:length]).shape[2] == 3


def test_manifest_follows_the_schema_of_the_family(
    published: Path, product: EmbeddedConfig
) -> None:
    manifest = manifest_of(published)
    schema = json.loads((ROOT / "docs" / "manifest.schema.json").read_text())
    jsonschema.validate(manifest, schema)
    assert manifest["family"] == "embedded"
    assert manifest["bitstream_id"] == 7
    assert manifest["groups"] == list(product.embedding.groups)
    assert len(manifest["starts"]) == manifest["channels"] == 8
    assert manifest["training"]["config"] == json.loads(json.dumps(product.to_dict()))
    assert manifest["measured"]["parity"] < 1e-4
    assert manifest["measured"]["held_out"]["size"] == [32, 32]
    names = {"analysis.onnx", "synthesis.onnx", "entropy.npz", "search.onnx", "search.npz"}
    assert set(manifest["files"]) == names


def test_graphs_have_channels_in_order_and_to_scale(
    published: Path, checkpoints: tuple[Path, Path]
) -> None:
    """Against the checkpoint's own networks, as the last stage trains them."""
    run, stage = train_codec.restore(checkpoints[1], CPU)
    layout = stage.layout
    assert layout is not None
    assert layout.order != tuple(range(8))
    assert min(layout.scales) < 1
    run.net.load_state_dict(run.ema)
    artifact, order = open_artifact(published), list(layout.order)
    scales = torch.tensor(layout.scales)[:, None, None]
    analysis = OnnxNetwork(artifact.file("analysis.onnx"), "cpu")
    synthesis = OnnxNetwork(artifact.file("synthesis.onnx"), "cpu")
    x = torch.rand(2, 3, 16, 24) * 2 - 1
    with torch.no_grad():
        y = run.net.eval().analysis(x)
    found = analysis.run({"pixels": x.numpy()})[0]
    np.testing.assert_allclose(found, y[:, order] * scales, atol=0.01)  # half-precision weights
    levels = torch.randint(0, 5, y.shape).float()
    widths = width_of(layout.base_step / 3**levels / scales[layout.rank()])
    truncated = Truncated(layout, CPU)
    with torch.no_grad():
        x_hat = weight_rounding.straight_through(
            run.net.synthesis,
            run.config.embedding.weight_bits,
            y,
            widths,
            scales=truncated.weight_scales(),
        )
    inputs = {"values": (y[:, order] * scales).numpy(), "levels": levels[:, order].numpy()}
    np.testing.assert_allclose(synthesis.run(inputs)[0], x_hat, atol=0.002)  # and biases


@pytest.mark.parametrize("name", ["synthesis.onnx", "search.onnx"])
def test_synthesis_weights_are_stored_as_integers(
    published: Path, checkpoints: tuple[Path, Path], name: str
) -> None:
    run, _ = publish_codec.load_rounded(checkpoints[1])
    stored = {t.name: t for t in onnx.load(published / name).graph.initializer}
    parameters = dict(run.net.synthesis.named_parameters())
    for parameter, value in parameters.items():
        if parameter.endswith("weight"):
            integers = numpy_helper.to_array(stored[f"synthesis.{parameter}_int8"])
            scale = numpy_helper.to_array(stored[f"synthesis.{parameter}_scale"])
            assert (integers.dtype, scale.dtype) == (np.int8, np.float16)
            assert np.abs(integers).max() <= 31, "6 bits"
            np.testing.assert_array_equal(integers * scale.astype(np.float32), value.detach())


def test_rejects_weights_that_are_not_rounded(checkpoints: tuple[Path, Path]) -> None:
    run, stage = train_codec.restore(checkpoints[1], CPU)
    layout = stage.layout
    assert layout is not None
    with pytest.raises(ValueError, match="not rounded"):
        transform_graphs.to_onnx(run.net, layout.base_step, 6)


def test_client_size_is_measured(published: Path) -> None:
    size = manifest_of(published)["measured"]["client_bytes"]
    artifact = open_artifact(published)
    file = client_file.file_of(
        client_file.client_of(artifact), artifact.model_id, artifact.bitstream_id
    )
    assert size == len(file)


def test_rejects_a_client_that_is_too_large(
    checkpoints: tuple[Path, Path],
    published: Path,
    picture_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publish_codec, "CLIENT_LIMIT", 1000)
    with pytest.raises(ValueError, match="limit is 1000"):
        publish_codec.publish(
            checkpoints[1],
            [picture_folder],
            tmp_path,
            tables=published / "entropy.npz",
            notes="",
            sources_text="",
        )


def test_rejects_a_checkpoint_of_the_transform_stage(
    checkpoints: tuple[Path, Path], picture_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="of the transform stage"):
        publish_codec.publish(checkpoints[0], [picture_folder], tmp_path, notes="", sources_text="")


@pytest.mark.slow
def test_commands_fit_publish_and_measure(
    checkpoints: tuple[Path, Path],
    published: Path,
    picture_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    checkpoint, pictures = str(checkpoints[1]), str(picture_folder)
    tables, sources = tmp_path / "entropy.npz", tmp_path / "SOURCES.md"
    sources.write_text(SOURCES)
    assert cli.main(["fit-context", checkpoint, pictures, "--out", str(tables)]) == 0
    assert "a client fetches" in capsys.readouterr().out
    arguments = ["publish", checkpoint, pictures, "--zoo", str(tmp_path / "zoo")]
    assert cli.main([*arguments, "--tables", str(tables), "--sources", str(sources)]) == 0
    again = tmp_path / "zoo" / "thumbstream-1"
    for name in ("analysis.onnx", "synthesis.onnx", "entropy.npz", "search.onnx", "search.npz"):
        assert (again / name).read_bytes() == (published / name).read_bytes(), name

    curve = tmp_path / "curve.json"
    capsys.readouterr()
    assert cli.main(["scaling", *map(str, checkpoints), "--out", str(curve)]) == 0
    assert len(json.loads(curve.read_text())["trainings"]) == 2

    limit = ["--size", "24", "--limit", "2"]
    assert cli.main(["ablate", str(published), pictures, *limit]) == 0
    assert "and search for each budget" in capsys.readouterr().out


def test_model_card_has_all_sections(published: Path) -> None:
    manifest = manifest_of(published)
    text = (published / "MODEL_CARD.md").read_text()
    assert text == codec_card.model_card(manifest, NOTES, SOURCES)
    for expected in (
        NOTES,
        SOURCES,
        "## Limits",
        "| 64 |",
        "| transform | 4 |",
        "| embedding | 8 |",
    ):
        assert expected in text
    manifest["training"]["curve"] = []
    assert "before its first validation" in codec_card.model_card(manifest, "", SOURCES)


# What each part brings


def test_ablation_has_a_row_for_each_part(
    published: Path,
    checkpoints: tuple[Path, Path],
    smooth_pictures: list[NDArray[np.uint8]],
) -> None:
    rows = ablation.ablate(
        published, squares(smooth_pictures), checkpoints=checkpoints, budgets=(16, 400)
    )
    assert list(rows) == [
        "transform alone, likelihood",
        "embedded states, likelihood",
        "streams, uniform probabilities",
        "streams, fixed probabilities",
        "streams, context model",
        "and search for all prefixes",
        "and search for each budget",
    ]
    for name in list(rows)[2:]:
        assert set(rows[name]) == {16, 400}
    table = ablation.table(rows, (16, 400))
    assert table[0] == ["", "16 B", "400 B"]
    assert all(len(row) == 3 for row in table)


def test_tables_without_context_decode_every_symbol(
    published: Path, smooth_pictures: list[NDArray[np.uint8]]
) -> None:
    artifact, pictures = open_artifact(published), squares(smooth_pictures)
    files = {name: artifact.files[name] for name in ablation.DECODING}
    artifact = dataclasses.replace(artifact, files=files)
    plain = EmbeddedCodec(artifact, device="cpu")
    fixed = ablation.with_tables(artifact, ablation.fixed_to(artifact, pictures))
    uniform = ablation.with_tables(artifact, ablation.uniform)
    lengths = []
    for codec in (plain, fixed, uniform):
        streams = [codec.encode(pixels) for pixels in pictures]
        lengths.append(sum(map(len, streams)))
        for stream, pixels in zip(streams, pictures, strict=True):
            np.testing.assert_array_equal(codec.decode(stream), plain.decode(plain.encode(pixels)))
    assert lengths[1] < lengths[2]


def test_quality_is_interpolated() -> None:
    points = [(16.0, 0.4, 18.0), (64.0, 0.8, 22.0)]
    row = ablation._interpolated(points, (8, 16, 32, 64, 128))
    assert row == {16: (0.4, 18.0), 32: (pytest.approx(0.6), 20.0), 64: (0.8, 22.0)}


def test_scaling_counts_crops_and_parameters(
    checkpoints: tuple[Path, Path], tmp_path: Path, product: EmbeddedConfig
) -> None:
    found = scaling.write(list(checkpoints[::-1]), tmp_path / "a" / "curve.json")
    assert found == json.loads((tmp_path / "a" / "curve.json").read_text())
    assert {len(run["points"]) for run in found["trainings"]} == {2, 4}
    longest = max(found["trainings"], key=lambda run: len(run["points"]))
    run, _ = train_codec.restore(checkpoints[1], CPU)
    assert longest["synthesis_parameters"] == sum(p.numel() for p in run.net.synthesis.parameters())
    # A quarter of the batches has one crop, the others have three.
    assert [point["crops"] for point in longest["points"]] == [5, 10, 15, 20]
    key = next(name for name in longest["points"][-1] if name.startswith("ssim"))
    table = scaling.table(found, key)
    assert table[0][-1] == key
    assert len(table) > 1


def test_search_arrays(published: Path) -> None:
    with np.load(io.BytesIO((published / "search.npz").read_bytes())) as arrays:
        assert arrays["curvature"].shape == (8,)
        assert arrays["slopes"].shape == (4,)
        assert arrays["everywhere"].tolist() == [False, True, True, False]
        assert arrays["curvature"].dtype == arrays["slopes"].dtype == np.float32
