"""From a configuration to a model folder that the codec reads, for every system."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from thumbstream.codec.base import open_codec
from thumbstream_models import cli
from thumbstream_models.paper import learning_rate_search, publish_system, system_card, train_system
from thumbstream_models.paper.system_config import SystemConfig

NOTES = "Trained by a test."
SOURCES = "Synthetic pictures."


@pytest.fixture(scope="session")
def published(
    system: SystemConfig, picture_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of a system, trained for some steps and published."""
    out = tmp_path_factory.mktemp("published")
    train_system.train(system, [picture_folder], out, device_name="cpu")
    return publish_system.publish(
        out / "checkpoint.pt",
        [picture_folder],
        out / "zoo",
        pictures=8,
        entropy_steps=2,
        notes=NOTES,
        sources_text=SOURCES,
    )


def manifest_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return content


def test_published_system_codes_pictures(
    published: Path, system: SystemConfig, smooth_pictures: list[NDArray[np.uint8]]
) -> None:
    codec = open_codec(published, device="cpu")
    picture = smooth_pictures[0][:16, :24]
    stream = codec.encode(picture)
    assert codec.decode(stream).shape == picture.shape
    known = codec.decode_codes(stream).decoded_count
    assert known == manifest_of(published)["iterations"] * system.model.code_planes * 2 * 3


def test_manifest_describes_the_system(published: Path, system: SystemConfig) -> None:
    manifest = manifest_of(published)
    assert manifest["family"] == system.model.family
    assert manifest["reconstruction"] == system.model.reconstruction
    own = system.model.weights == "per_stage" and manifest["iterations"] > 1
    assert manifest["weights"] == ("per_stage" if own else "shared")
    assert manifest["cell_stops"] == system.model.family.startswith("fc_")
    graphs = [name for name in manifest["files"] if name.endswith(".onnx")]
    assert len(graphs) == (2 * manifest["iterations"] if own else 2)
    assert manifest["measured"]["parity"] < 1e-4
    assert len(manifest["measured"]["bits_per_code"]) == manifest["iterations"]


def test_only_useful_iterations_are_published(
    published: Path, system: SystemConfig, picture_folder: Path, tmp_path: Path
) -> None:
    run = train_system.restore(
        published.parents[1] / "checkpoint.pt", train_system.torch.device("cpu")
    )
    run.net.load_state_dict(run.ema)
    pictures = np.zeros((2, 16, 16, 3), np.uint8)
    useful = publish_system.useful_iterations(run, pictures)
    assert 1 <= useful <= system.model.iterations
    _, reconstructions = run.net.eval()(
        train_system.to_tensor(pictures, train_system.torch.device("cpu")), system.model.iterations
    )
    errors = [
        np.square(train_system.to_pixels(x_hat.detach()).astype(float)).mean()
        for x_hat in reconstructions
    ]
    assert errors[useful - 1] == min(errors)


def test_model_card_has_all_sections(published: Path) -> None:
    manifest = manifest_of(published)
    text = (published / "MODEL_CARD.md").read_text()
    assert text == system_card.model_card(manifest, NOTES, SOURCES)
    name, section = system_card.SYSTEMS[manifest["family"]]
    for expected in (name, f"section {section}", NOTES, SOURCES, "## Limits", "| 64 |"):
        assert expected in text
    assert f"| {manifest['training']['curve'][-1]['step']} |" in text


def test_model_card_without_a_validation_curve(published: Path) -> None:
    manifest = manifest_of(published)
    manifest["training"]["curve"] = []
    assert "before its first validation" in system_card.model_card(manifest, "", SOURCES)


def test_rate_search_sorts_by_quality(tiny: SystemConfig, picture_folder: Path) -> None:
    found = learning_rate_search.search(tiny, [picture_folder], (1e-7, 1e-2), 25)
    assert [rate for rate, _ in found] == [1e-2, 1e-7]
    assert learning_rate_search.mean_psnr(found[0][1]) > learning_rate_search.mean_psnr(found[1][1])
    assert all(point["step"] == 25 for _, point in found)


def test_search_rates_command(
    picture_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "tiny.toml"
    config.write_text(
        """
        model_id = "conv-lstm-1"
        [model]
        family = "conv_lstm"
        iterations = 2
        code_planes = 2
        encoder_filters = [4, 4]
        decoder_filters = [4, 4, 4]
        [data]
        size = 16
        min_crop = 0.5
        whole_fraction = 0.4
        max_aspect = 1.5
        validation_pictures = 2
        [training]
        steps = 5
        batch_size = 2
        learning_rate = 1e-3
        final_learning_rate = 1e-5
        warmup_steps = 1
        gradient_clip = 1.0
        ema_decay = 0.9
        seed = 1
        loss = "log_l2"
        curriculum = 0.0
        curriculum_iterations = 1
        min_iterations = 1
        unroll_power = 1.0
        deterministic_from = 1.0
        validate_every = 5
        """
    )
    arguments = [
        "search-rates",
        str(config),
        str(picture_folder),
        "--rates",
        "1e-3,1e-2",
        "--steps",
        "2",
    ]
    assert cli.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sorted(line.split()[0] for line in lines) == ["0.001", "0.01"]
    with pytest.raises(SystemExit):
        cli.main([*arguments[:3], "--rates", "0"])
