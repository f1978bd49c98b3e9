from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image

from thumbstream_models.paper.system_config import SystemConfig
from thumbstream_models.training import data
from thumbstream_models.training.config import DataConfig

Pictures = list[NDArray[np.uint8]]


def png(pixels: NDArray[np.uint8], **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", **options)
    return buffer.getvalue()


def shard(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def as_set(pictures: Pictures) -> set[bytes]:
    return {str(p.shape).encode() + p.tobytes() for p in pictures}


def same(a: Pictures, b: Pictures) -> bool:
    return len(a) == len(b) and all(map(np.array_equal, a, b))


# Reading


def test_folders_and_tars_give_the_same_pictures(
    tiny: SystemConfig, picture_folder: Path, tmp_path: Path
) -> None:
    files = {path.name: path.read_bytes() for path in sorted(picture_folder.iterdir())}
    from_folder = data.load([picture_folder], tiny.data, quiet=True)
    from_tar = data.load([shard(tmp_path / "a.tar", files)], tiny.data, quiet=True)
    assert same(from_folder.training, from_tar.training)
    assert same(from_folder.validation, from_tar.validation)
    assert from_folder.sha256 == from_tar.sha256


def test_tar_with_dot_names_gives_the_same_pictures(
    tiny: SystemConfig, picture_folder: Path, tmp_path: Path
) -> None:
    """``tar c .`` calls the files ``./name``."""
    files = {f"./{path.name}": path.read_bytes() for path in sorted(picture_folder.iterdir())}
    from_folder = data.load([picture_folder], tiny.data, quiet=True)
    from_tar = data.load([shard(tmp_path / "a.tar", files)], tiny.data, quiet=True)
    assert same(from_folder.validation, from_tar.validation)
    assert from_folder.sha256 == from_tar.sha256


def test_folders_are_searched_recursively_and_other_files_ignored(
    tiny: SystemConfig, smooth_pictures: Pictures, tmp_path: Path
) -> None:
    (tmp_path / "deep" / "deeper").mkdir(parents=True)
    (tmp_path / "deep" / "deeper" / "a.PNG").write_bytes(png(smooth_pictures[0]))
    (tmp_path / "b.png").write_bytes(png(smooth_pictures[1]))
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "album.jpg").mkdir()
    names = [name for name, _ in data.read_files([tmp_path])]
    assert names == ["b.png", "deep/deeper/a.PNG"]


def test_folders_inside_a_tar_are_ignored(tmp_path: Path, smooth_pictures: Pictures) -> None:
    path = shard(tmp_path / "a.tar", {"a.png": png(smooth_pictures[0])})
    with tarfile.open(path, "a") as tar:
        folder = tarfile.TarInfo("album.jpg")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
    assert [name for name, _ in data.read_files([path])] == ["a.png"]


def test_hash_depends_on_names_contents_and_sources(
    tiny: SystemConfig, smooth_pictures: Pictures, tmp_path: Path
) -> None:
    a, b, c = (png(pixels) for pixels in smooth_pictures[:3])
    shards = [
        shard(tmp_path / "0.tar", {"a.png": a, "b.png": b}),
        shard(tmp_path / "1.tar", {"a.png": a, "c.png": b}),
        shard(tmp_path / "2.tar", {"a.png": a, "b.png": c}),
        shard(tmp_path / "3.tar", {"a.png": a, "b.png": b, "c.png": c}),
    ]
    assert len({data.load([path], tiny.data, quiet=True).sha256 for path in shards}) == 4


def test_pictures_smaller_than_a_crop_are_omitted(
    tiny: SystemConfig, smooth_pictures: Pictures, tmp_path: Path
) -> None:
    small = np.zeros((15, 200, 3), np.uint8)
    exact = np.zeros((16, 200, 3), np.uint8)
    files = {"a.png": png(small), "b.png": png(exact), "c.png": png(smooth_pictures[0])}
    loaded = data.load([shard(tmp_path / "a.tar", files)], tiny.data, quiet=True)
    assert as_set(loaded.training + loaded.validation) == as_set([exact, smooth_pictures[0]])


def test_no_pictures_is_an_error_that_names_the_source(tiny: SystemConfig, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"no pictures of 16 pixels or more.*{tmp_path.name}"):
        data.load([tmp_path], tiny.data, quiet=True)


def test_only_small_pictures_is_an_error(tiny: SystemConfig, tmp_path: Path) -> None:
    for i in range(3):
        (tmp_path / f"{i}.png").write_bytes(png(np.zeros((8, 8, 3), np.uint8)))
    with pytest.raises(ValueError, match="no pictures of 16 pixels or more"):
        data.load([tmp_path], tiny.data, quiet=True)


def test_missing_source_is_an_error(tiny: SystemConfig, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.tar"):
        data.load([tmp_path / "nowhere.tar"], tiny.data, quiet=True)


def test_broken_picture_is_an_error_that_names_it(
    tiny: SystemConfig, picture_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "half.png").write_bytes((picture_folder / "1.png").read_bytes()[:100])
    with pytest.raises(ValueError, match=r"half\.png"):
        data.load([picture_folder, tmp_path], tiny.data, quiet=True)


@pytest.mark.parametrize("mode", ["L", "P", "1", "RGBA", "CMYK", "I;16"])
def test_all_modes_become_rgb(tiny: SystemConfig, tmp_path: Path, mode: str) -> None:
    ramp = np.tile(np.arange(0, 256, 8, np.uint8), (32, 1))  # 32 x 32, black to nearly white
    if mode == "I;16":
        picture = Image.fromarray(ramp.astype(np.uint16) * 257)
    else:
        picture = Image.fromarray(np.dstack([ramp] * 3))
        picture = picture.quantize(64) if mode == "P" else picture.convert(mode)
    for i in range(2):
        picture.save(tmp_path / f"{i}.tif" if mode == "CMYK" else tmp_path / f"{i}.png")
    (pixels,) = data.load([tmp_path], tiny.data, quiet=True).training
    assert pixels.shape == (32, 32, 3)
    assert pixels.dtype == np.uint8
    error = np.abs(pixels.astype(int).mean(axis=(0, 2)) - ramp[0])
    assert error.max() <= (100 if mode == "1" else 4)  # one bit: dithered, right on average
    assert abs(pixels.mean() - ramp.mean()) < 10


def test_transparent_pictures_are_composited_over_white(tiny: SystemConfig, tmp_path: Path) -> None:
    clear = np.zeros((32, 32, 4), np.uint8)  # fully transparent black
    clear[:, 16:] = (200, 10, 60, 255)
    files = {f"{i}.png": png(clear) for i in range(2)}
    (pixels,) = data.load([shard(tmp_path / "a.tar", files)], tiny.data, quiet=True).training
    assert np.all(pixels[:, :16] == 255)
    assert np.all(pixels[:, 16:] == (200, 10, 60))


def test_exif_orientation_is_applied(
    tiny: SystemConfig, smooth_pictures: Pictures, tmp_path: Path
) -> None:
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6  # stored lying on its left side
    files = {f"{i}.png": png(smooth_pictures[0], exif=turned.tobytes()) for i in range(2)}
    (pixels,) = data.load([shard(tmp_path / "a.tar", files)], tiny.data, quiet=True).training
    np.testing.assert_array_equal(pixels, np.rot90(smooth_pictures[0], -1))


def test_validation_split_is_disjoint_and_complete(
    tiny: SystemConfig, picture_folder: Path, smooth_pictures: Pictures
) -> None:
    loaded = data.load([picture_folder], tiny.data, quiet=True)
    training, validation = as_set(loaded.training), as_set(loaded.validation)
    assert len(loaded.validation) == tiny.data.validation_pictures
    assert not training & validation
    assert training | validation == as_set(smooth_pictures)


def test_validation_split_depends_on_names_only(
    tiny: SystemConfig, picture_folder: Path, tmp_path: Path
) -> None:
    files = {path.name: path.read_bytes() for path in sorted(picture_folder.iterdir())}
    shards = [
        shard(tmp_path / f"{i}.tar", {name: files[name] for name in list(files)[i::3]})
        for i in range(3)
    ]
    joined = data.load([picture_folder], tiny.data, quiet=True)
    for sources in (shards, shards[::-1]):
        separate = data.load(sources, tiny.data, quiet=True)
        assert same(separate.validation, joined.validation)
        assert same(separate.training, joined.training)


def test_at_most_half_is_held_out(
    tiny: SystemConfig, changed: Callable[..., SystemConfig], picture_folder: Path
) -> None:
    greedy = changed(tiny, "data", validation_pictures=1000).data
    loaded = data.load([picture_folder], greedy, quiet=True)
    assert len(loaded.training) == len(loaded.validation) == 5


# Crops


def crops(pixels: NDArray[np.uint8], config: DataConfig, count: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(3)
    return np.stack([data.random_crop(pixels, config, rng) for _ in range(count)])


@pytest.mark.parametrize(("height", "width"), [(16, 16), (16, 90), (40, 17), (64, 48)])
def test_crops_are_never_enlarged(tiny: SystemConfig, height: int, width: int) -> None:
    """A ramp of one level a pixel, reduced by any factor, is a ramp of one level or more."""
    across = np.broadcast_to(np.arange(width, dtype=np.uint8)[None, :, None], (height, width, 3))
    down = np.broadcast_to(np.arange(height, dtype=np.uint8)[:, None, None], (height, width, 3))
    size = tiny.data.size
    for ramp, axis in ((across, 2), (down, 1)):
        made = crops(np.ascontiguousarray(ramp), tiny.data, 50).astype(int)
        assert made.shape == (50, size, size, 3)
        first, last = np.take(made, 1, axis), np.take(made, size - 2, axis)
        assert np.abs(last - first).min() >= size - 3 - 1  # a level lost to rounding


def test_crops_stay_in_the_configured_range(
    tiny: SystemConfig, changed: Callable[..., SystemConfig]
) -> None:
    """The slope of a ramp is the scale: from half the short side to all of it, stretched."""
    side = 160
    ramp = np.broadcast_to(np.arange(side, dtype=np.uint8)[None, :, None], (side, side, 3))
    made = crops(np.ascontiguousarray(ramp), tiny.data, 400).astype(int)
    scale = np.abs(made[:, 5, 13, 0] - made[:, 5, 2, 0]) / 11  # source pixels per pixel
    widest, stretch = side / tiny.data.size, tiny.data.max_aspect**0.5
    assert scale.min() >= tiny.data.min_crop * widest / stretch - 0.2
    assert scale.max() <= widest + 0.2
    assert scale.min() < 0.6 * widest
    full = changed(tiny, "data", whole_fraction=1.0, max_aspect=1.0).data
    made = crops(np.ascontiguousarray(ramp), full, 20).astype(int)
    assert np.ptp(np.abs(made[:, 5, 13, 0] - made[:, 5, 2, 0])) == 0


def test_half_of_the_crops_are_mirrored(tiny: SystemConfig) -> None:
    ramp = np.broadcast_to(np.arange(48, dtype=np.uint8)[None, :, None], (48, 48, 3))
    made = crops(np.ascontiguousarray(ramp), tiny.data, 400).astype(int)
    mirrored = (made[:, 0, -1, 0] < made[:, 0, 0, 0]).mean()
    assert mirrored == pytest.approx(0.5, abs=0.1)


def test_reduction_is_antialiased(tiny: SystemConfig, changed: Callable[..., SystemConfig]) -> None:
    """A checkerboard of single pixels is grey from afar; every fourth pixel would be black."""
    board = (np.indices((128, 128)).sum(0) % 2 * 255).astype(np.uint8)
    pixels = np.dstack([board] * 3)
    large = changed(tiny, "data", min_crop=0.75).data  # reduced by 4.9 at the least
    for made in (crops(pixels, large, 30), data.validation_batch([pixels], 16)):
        assert np.abs(made[:, 1:-1, 1:-1].astype(int) - 127.5).max() < 12
        assert made.mean() == pytest.approx(127.5, abs=1)


def test_validation_pictures_are_central_squares() -> None:
    """On a ramp, antialiasing gives the value at the middle of each new pixel."""
    ramp = np.broadcast_to(np.arange(60, dtype=np.uint8)[None, :, None] * 4, (20, 60, 3))
    expected = 4 * (20 + (np.arange(8) + 0.5) * 20 / 8 - 0.5)
    for picture in (ramp, ramp.transpose(1, 0, 2)):
        (made,) = data.validation_batch([np.ascontiguousarray(picture)], 8)
        assert made.shape == (8, 8, 3)
        along = made.astype(float) if picture is ramp else made.transpose(1, 0, 2).astype(float)
        assert np.abs(along - expected[None, :, None]).max() <= 1


# Batches


def test_batch_is_a_function_of_seed_and_step(
    tiny: SystemConfig, smooth_pictures: Pictures
) -> None:
    def batch(seed: int, step: int) -> NDArray[np.uint8]:
        return data.training_batch(smooth_pictures, tiny.data, 4, seed, step)

    first = batch(1, 7)
    assert first.shape == (4, 16, 16, 3)
    assert first.dtype == np.uint8
    np.random.seed(0)
    batch(1, 8)
    np.testing.assert_array_equal(batch(1, 7), first)
    assert not np.array_equal(batch(1, 8), first)
    assert not np.array_equal(batch(2, 7), first)


@pytest.mark.parametrize("ahead", [1, 3, 50])
def test_prefetching_preserves_the_order(
    tiny: SystemConfig, smooth_pictures: Pictures, ahead: int
) -> None:
    steps = range(5, 17)
    made = data.prefetched_batches(smooth_pictures, tiny.data, 2, 1, steps, threads=2, ahead=ahead)
    for step, batch in zip(steps, made, strict=True):
        expected = data.training_batch(smooth_pictures, tiny.data, 2, 1, step)
        np.testing.assert_array_equal(batch, expected)


def test_prefetching_no_steps(tiny: SystemConfig, smooth_pictures: Pictures) -> None:
    made = data.prefetched_batches(smooth_pictures, tiny.data, 2, 1, range(5, 5))
    assert list(made) == []


def test_error_in_a_thread_is_raised(tiny: SystemConfig) -> None:
    made = data.prefetched_batches([], tiny.data, 2, 1, range(3))
    with pytest.raises(ValueError, match="high <= 0"):
        next(made)
