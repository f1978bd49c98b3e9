from __future__ import annotations

import dataclasses
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from thumbstream_models.paper.system_config import SystemConfig
from thumbstream_models.training import crops, data


def test_crops_are_made_once(tiny: SystemConfig, picture_folder: Path, tmp_path: Path) -> None:
    made = crops.load([picture_folder], tiny.data, per_picture=3, folder=tmp_path, quiet=True)
    (path,) = tmp_path.iterdir()
    written = path.stat().st_mtime_ns
    again = crops.load([picture_folder], tiny.data, per_picture=3, folder=tmp_path, quiet=True)
    assert path.stat().st_mtime_ns == written
    assert list(tmp_path.iterdir()) == [path]
    assert np.array_equal(made.training, again.training)
    assert made.training.shape == (3 * 7, 16, 16, 3)
    assert made.training.dtype == np.uint8


def test_crops_depend_on_pictures_and_settings_alone(
    tiny: SystemConfig, picture_folder: Path, tmp_path: Path
) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:  # in another order than the folder has
        for path in sorted(picture_folder.iterdir(), reverse=True):
            tar.add(path, path.name)
    a = crops.load([picture_folder], tiny.data, folder=tmp_path / "a", quiet=True)
    b = crops.load([tmp_path / "a.tar"], tiny.data, folder=tmp_path / "b", quiet=True)
    assert np.array_equal(a.training, b.training)
    assert np.array_equal(a.validation, b.validation)


def test_validation_pictures_and_hash_are_those_of_the_pictures_in_memory(
    tiny: SystemConfig, picture_folder: Path, tmp_path: Path
) -> None:
    pictures = data.load([picture_folder], tiny.data, quiet=True)
    stored = crops.load([picture_folder], tiny.data, folder=tmp_path, quiet=True)
    assert stored.sha256 == pictures.sha256
    assert np.array_equal(
        stored.validation, data.validation_batch(pictures.validation, tiny.data.size)
    )


def test_other_settings_are_other_crops(
    tiny: SystemConfig, picture_folder: Path, tmp_path: Path
) -> None:
    for config in (tiny.data, dataclasses.replace(tiny.data, min_crop=0.75)):
        for per_picture in (1, 2):
            crops.load(
                [picture_folder], config, per_picture=per_picture, folder=tmp_path, quiet=True
            )
    windowed = dataclasses.replace(tiny.data, window=8)  # cut out later, from the same crops
    crops.load([picture_folder], windowed, per_picture=1, folder=tmp_path, quiet=True)
    assert len(list(tmp_path.iterdir())) == 4


def test_small_pictures_are_left_out(
    tiny: SystemConfig, picture_folder: Path, tmp_path: Path
) -> None:
    large = dataclasses.replace(tiny.data, size=36)
    pictures = data.load([picture_folder], large, quiet=True)
    stored = crops.load([picture_folder], large, per_picture=2, folder=tmp_path, quiet=True)
    assert len(stored.training) == 2 * len(pictures.training)
    with pytest.raises(ValueError, match="no pictures of 64 pixels"):
        crops.load([picture_folder], dataclasses.replace(tiny.data, size=64), folder=tmp_path)


def test_a_broken_picture_is_named_and_leaves_no_file(
    tiny: SystemConfig, picture_folder: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for path in picture_folder.iterdir():
        (source / path.name).write_bytes(path.read_bytes())
    whole = (source / "3.png").read_bytes()
    for broken in (b"no picture", whole[: len(whole) // 2]):
        (source / "3.png").write_bytes(broken)
        with pytest.raises(ValueError, match=r"3\.png"):
            crops.load([source], tiny.data, folder=tmp_path / "crops", quiet=True)
    assert not (tmp_path / "crops").exists() or not list((tmp_path / "crops").iterdir())


def test_pictures_of_the_same_name_are_all_used(
    tiny: SystemConfig, picture_folder: Path, tmp_path: Path
) -> None:
    twice = [picture_folder, picture_folder]
    stored = crops.load(twice, tiny.data, per_picture=1, folder=tmp_path, quiet=True)
    assert len(stored.training) + len(stored.validation) == 20


def test_a_batch_is_a_function_of_seed_and_step(
    tiny: SystemConfig, picture_folder: Path, tmp_path: Path
) -> None:
    training = crops.load([picture_folder], tiny.data, folder=tmp_path, quiet=True).training
    first = crops.batch(training, 5, seed=1, step=2)
    assert first.shape == (5, 16, 16, 3)
    assert np.array_equal(first, crops.batch(training, 5, seed=1, step=2))
    assert not np.array_equal(first, crops.batch(training, 5, seed=1, step=3))
    assert not np.array_equal(first, crops.batch(training, 5, seed=2, step=2))


def test_a_batch_holds_crops_and_their_mirror_images() -> None:
    picture = np.asarray(Image.linear_gradient("L").rotate(90).resize((8, 8)))
    training = np.repeat(picture[None, :, :, None], 3, axis=3)
    seen = {crops.batch(training, 1, 0, step).tobytes() for step in range(20)}
    assert seen == {training.tobytes(), training[:, :, ::-1].tobytes()}


def test_windows_are_squares_of_the_crops() -> None:
    training = np.arange(2 * 6 * 6 * 3, dtype=np.uint8).reshape(2, 6, 6, 3)
    pixels = crops.batch(training, 50, seed=1, step=0, window=4)
    assert pixels.shape == (50, 4, 4, 3)
    possible = {
        picture[y : y + 4, x : x + 4].tobytes()
        for picture in (*training, *training[:, :, ::-1])
        for y in range(3)
        for x in range(3)
    }
    assert {p.tobytes() for p in pixels} <= possible
