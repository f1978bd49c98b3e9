"""Drawn training pictures."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from thumbstream_models import cli
from thumbstream_models.training import crops, data, graphics
from thumbstream_models.training.config import DataConfig


def test_tar_is_a_source_of_crops(tmp_path: Path) -> None:
    path = tmp_path / "drawn.tar"
    assert cli.main(["draw-graphics", str(path), "--count", "6", "--seed", "3"]) == 0
    names = [name for name, _ in data.read_files([path])]
    assert names == [f"graphics-{index:05}.png" for index in range(6)]
    config = DataConfig(
        size=128, min_crop=0.5, whole_fraction=0.4, max_aspect=1.5, validation_pictures=2
    )
    made = crops.load([path], config, per_picture=1, folder=tmp_path, quiet=True)
    assert len(made.training) + len(made.validation) == 6


def test_tar_depends_on_count_and_seed_alone(tmp_path: Path) -> None:
    def tar(count: int, seed: int) -> bytes:
        graphics.write(tmp_path / "a.tar", count, seed)
        return (tmp_path / "a.tar").read_bytes()

    assert tar(2, 0) == tar(2, 0) != tar(2, 1)
    one, two = tar(1, 0), tar(2, 0)
    assert one.rstrip(b"\0") == two[: len(one.rstrip(b"\0"))]  # more pictures change none


def test_sizes_and_variety() -> None:
    pictures = [graphics.draw(0, index) for index in range(40)]
    for picture in pictures:
        assert picture.mode == "RGB"
        assert graphics.LONG_SIDE[0] <= max(picture.size) <= graphics.LONG_SIDE[1]
        assert max(picture.size) <= graphics.MAX_ASPECT * min(picture.size) + 2
    small = [np.asarray(picture.resize((32, 32))) for picture in pictures]
    assert len({pixels.tobytes() for pixels in small}) == len(pictures)
    assert all(np.ptp(pixels) > 40 for pixels in small)  # an empty picture teaches nothing


@pytest.mark.parametrize("scene", sorted(set(graphics._SCENES), key=lambda scene: scene.__name__))
def test_scenes_fill_small_pictures(scene: graphics._Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphics, "_SCENES", (scene,))
    monkeypatch.setattr(graphics, "LONG_SIDE", (40, 320))
    for index in range(4):
        stream = io.BytesIO()
        graphics.draw(1, index).save(stream, "PNG")
        assert Image.open(stream).size == graphics.draw(1, index).size


def test_count_must_be_positive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["draw-graphics", str(tmp_path / "a.tar"), "--count", "0"]) == 1
    assert "expected a count of 1 or more, got 0" in capsys.readouterr().err
