from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from thumbstream.codec.base import FAMILIES, Codec, open_codec
from thumbstream.errors import ArtifactError
from thumbstream_models.paper import (
    entropy_fit,
    networks,
    publish_system,
    step_graphs,
    system_config,
    train_system,
)
from thumbstream_models.paper.system_config import SystemConfig
from thumbstream_models.training import model_writer
from thumbstream_models.training.onnx_export import PARITY_TOLERANCE

ROOT = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")
STEPS = ("analysis", "synthesis")


@dataclass(frozen=True)
class Published:
    checkpoint: Path
    folder: Path
    run: train_system.Run
    manifest: dict[str, Any]
    files: dict[str, bytes]


def soft_noise(count: int, height: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(count, 3, 5, 5, generator=generator) * 2 - 1
    return nn.functional.interpolate(noise, (height, width), mode="bilinear")


def publish(checkpoint: Path, folder: Path) -> Published:
    run = train_system.restore(checkpoint, CPU)
    model = run.config.model
    codes = entropy_fit.codes_of(run.net, iter([soft_noise(20, 32, 32)]), model.iterations)
    tables, rates = entropy_fit.fit([codes], steps=3, quiet=True)
    files = step_graphs.to_onnx(run.net)
    files["entropy.npz"] = model_writer.npz_bytes(tables)
    manifest = publish_system.manifest_of(run, files, 20) | {"measured": {"bits_per_code": rates}}
    model_writer.write_folder(folder, manifest, files)
    return Published(checkpoint, folder, run, manifest, files)


@pytest.fixture(scope="module")
def published(tiny: SystemConfig, tmp_path_factory: pytest.TempPathFactory) -> Published:
    """A random network, its weights large enough for pictures and codes of every value."""
    run = train_system.new_run(tiny, CPU)
    with torch.no_grad():
        for name, value in run.net.named_parameters():
            value.mul_(1.0 if "gain" in name else 2.5)
    checkpoint = tmp_path_factory.mktemp("run") / "checkpoint.pt"
    train_system.save(run, checkpoint)
    return publish(checkpoint, tmp_path_factory.mktemp("zoo") / tiny.model_id)


@pytest.fixture(scope="module")
def codec(published: Published) -> Codec:
    return open_codec(published.folder, device="cpu")


def session(model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])


# Networks


def test_onnx_runtime_and_pytorch_agree(published: Published, tiny: SystemConfig) -> None:
    for seed in (0, 1):
        difference = step_graphs.parity(
            published.run.net, published.files, tiny.model.iterations, seed=seed
        )
        assert 0 < difference < PARITY_TOLERANCE


def test_parity_is_a_function_of_its_seed(published: Published) -> None:
    first, again = (step_graphs.parity(published.run.net, published.files, 2, seed=5) for _ in "ab")
    assert first == again


@pytest.mark.parametrize(
    "name", ["decoder.to_rgb.bias", "decoder.lstm1.hidden.weight", "encoder.lstm.input.weight"]
)
def test_parity_detects_another_network(
    published: Published, tiny: SystemConfig, name: str
) -> None:
    other = copy.deepcopy(published.run.net)
    with torch.no_grad():
        other.get_parameter(name).add_(0.01)
    assert step_graphs.parity(other, published.files, 2) > 10 * PARITY_TOLERANCE


def test_parity_detects_a_flipped_code(published: Published) -> None:
    other = copy.deepcopy(published.run.net)
    with torch.no_grad():
        other.binarizer.conv.weight.neg_()
        other.binarizer.conv.bias.neg_()
    assert step_graphs.parity(other, published.files, 1) > 0.01


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 9), (4, 4), (7, 2), (32, 32)])
@pytest.mark.parametrize("batch", [1, 3])
def test_any_batch_and_any_grid(
    published: Published, tiny: SystemConfig, batch: int, rows: int, columns: int
) -> None:
    codes = tiny.model.code_planes * tiny.model.iterations
    sizes = {
        "analysis": (("residual", 3, 8), ("activation", codes, 1)),
        "synthesis": (("codes", codes, 1), ("x_hat", 3, 8)),
    }
    for name in STEPS:
        network = session(published.files[f"{name}.onnx"])
        (value, channels, scale), (output, out_channels, out_scale) = sizes[name]
        states = [
            (s["name"], s["channels"], s["scale"]) for s in published.manifest["states"][name]
        ]
        expected = [(value, channels, scale), *states]
        assert [i.name for i in network.get_inputs()] == [entry[0] for entry in expected]
        feed = {
            key: np.zeros((batch, planes, rows * factor, columns * factor), np.float32)
            for key, planes, factor in expected
        }
        outputs = dict(
            zip([o.name for o in network.get_outputs()], network.run(None, feed), strict=True)
        )
        assert list(outputs) == [output, *(f"{key}_next" for key, _, _ in states)]
        assert outputs[output].shape == (
            batch,
            out_channels,
            rows * out_scale,
            columns * out_scale,
        )
        for key, _, _ in states:
            assert outputs[f"{key}_next"].shape == feed[key].shape


def test_exported_analysis_has_no_noise(published: Published) -> None:
    """Even if the network was left in training mode."""
    net = copy.deepcopy(published.run.net).train()
    network = session(step_graphs.to_onnx(net)["analysis.onnx"])
    feed = {i.name: np.zeros((1, i.shape[1], 2, 2), np.float32) for i in network.get_inputs()}
    feed["residual"] = soft_noise(1, 16, 16).numpy()
    first, again = (network.run(["activation"], feed)[0] for _ in "ab")
    np.testing.assert_array_equal(first, again)
    assert 0 < np.abs(first).max() <= 1


# The folder


def test_same_checkpoint_gives_the_same_bytes(published: Published, tmp_path: Path) -> None:
    again = publish(published.checkpoint, tmp_path / "again")
    names = sorted(path.name for path in published.folder.iterdir())
    assert names == ["analysis.onnx", "entropy.npz", "manifest.json", "synthesis.onnx"]
    assert sorted(path.name for path in again.folder.iterdir()) == names
    for name in names:
        assert (again.folder / name).read_bytes() == (published.folder / name).read_bytes(), name


def test_manifest_follows_its_schema(published: Published) -> None:
    schema = json.loads((ROOT / "docs" / "manifest.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    written = (published.folder / "manifest.json").read_text()
    assert "NaN" not in written
    manifest = json.loads(written)
    jsonschema.Draft202012Validator(schema).validate(manifest)
    assert manifest == json.loads(json.dumps(published.manifest))


def test_manifest_describes_the_training(published: Published, tiny: SystemConfig) -> None:
    manifest, run = published.manifest, published.run
    training = manifest["training"]
    assert system_config.from_dict(json.loads(json.dumps(training["config"]))) == tiny
    assert manifest["model_id"] == tiny.model_id
    assert manifest["bitstream_id"] == model_writer.BITSTREAM_IDS[tiny.model_id]
    assert training["parameters"] == sum(p.numel() for p in run.net.parameters())
    assert training["steps"] == run.step
    assert training["curve"] == run.curve
    np.testing.assert_array_equal(
        np.float32(manifest["residual_gains"]), run.net.residual_gain.gain.detach().numpy()
    )


def test_bitstream_ids_are_unique() -> None:
    ids = list(model_writer.BITSTREAM_IDS.values())
    assert len(set(ids)) == len(ids)
    assert all(0 <= bitstream_id <= 127 for bitstream_id in ids)


def test_rejects_a_changed_file(published: Published, tmp_path: Path) -> None:
    for path in published.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    broken = bytearray(published.files["synthesis.onnx"])
    broken[-1] ^= 1
    (tmp_path / "synthesis.onnx").write_bytes(broken)
    with pytest.raises(ArtifactError, match=r"synthesis\.onnx"):
        open_codec(tmp_path, device="cpu")


# The codec made of it


def pixels(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return train_system.to_pixels(soft_noise(1, height, width, seed))[0]


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 43), (5, 32), (8, 1), (40, 40)])
def test_codec_matches_the_network(
    published: Published, codec: Codec, height: int, width: int
) -> None:
    """Codes and pixels of real streams are those of the PyTorch network."""
    picture = pixels(height, width)
    stream = codec.encode(picture)
    below, right = -height % 8, -width % 8
    padded = np.pad(picture, ((0, below), (0, right), (0, 0)), mode="edge")
    net = published.run.net.eval()
    with torch.no_grad():
        codes, reconstructions = net(
            train_system.to_tensor(padded[None], CPU), published.run.config.model.iterations
        )
    decoded = codec.decode_codes(stream)
    np.testing.assert_array_equal(decoded.codes, torch.stack(codes, 1)[0].numpy())
    expected = train_system.to_pixels(reconstructions[-1])[0, :height, :width].astype(int)
    x_hat = codec.decode(stream)
    assert x_hat.shape == (height, width, 3)
    assert np.abs(x_hat.astype(int) - expected).max() <= 1


def test_every_prefix_decodes(codec: Codec) -> None:
    picture = pixels(16, 40)
    stream = codec.encode(picture)
    assert len(stream) > 10
    for n in range(1, len(stream) + 1):
        assert codec.decode(stream[:n]).shape == ((40, 40, 3) if n < 3 else (16, 40, 3))
        if n % 5 == 0:
            assert codec.encode(picture, max_bytes=n) == stream[:n]


def test_codec_has_the_id_of_its_model(
    codec: Codec, tiny: SystemConfig, published: Published
) -> None:
    assert codec.model_id == tiny.model_id
    assert codec.bitstream_id == published.manifest["bitstream_id"]
    assert codec.providers == ("CPUExecutionProvider",)


def test_codec_supports_every_family() -> None:
    assert set(networks.FAMILIES) <= set(FAMILIES)
