"""The fast path compared with a slow, plain one: decode at full size, convert, one Lanczos."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from thumbstream.images import grid_shape, reduce_to_grid, thumbnail

Photo = Callable[..., NDArray[np.uint8]]


def plain_twin(data: bytes, size: int) -> NDArray[np.uint8]:
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    shape = grid_shape(*image.size, size)
    return np.asarray(image.convert("RGB").resize(shape, Image.Resampling.LANCZOS))


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    error = np.mean((a.astype(float) - b) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


@pytest.mark.parametrize(
    ("width", "height"),
    [(1600, 1200), (1201, 1607), (257, 255), (300, 40), (1999, 33), (64, 64), (33, 31)],
)
@pytest.mark.parametrize("size", [8, 32, 64])
def test_jpeg_at_reduced_scale_matches_full_scale(
    photo_like: Photo, save: Callable[..., bytes], width: int, height: int, size: int
) -> None:
    data = save(Image.fromarray(photo_like(width, height)), "JPEG", quality=90)
    fast, plain = thumbnail(data, size).pixels, plain_twin(data, size)
    assert fast.shape == plain.shape
    assert psnr(fast, plain) > 42


@pytest.mark.parametrize(("width", "height"), [(1600, 1200), (1201, 1607), (700, 11), (50, 40)])
def test_png_reduced_in_steps_matches_one_step(
    photo_like: Photo, save: Callable[..., bytes], width: int, height: int
) -> None:
    data = save(Image.fromarray(photo_like(width, height)), "PNG")
    assert psnr(thumbnail(data, 32).pixels, plain_twin(data, 32)) > 44


def test_bands_leave_no_seams(photo_like: Photo, monkeypatch: pytest.MonkeyPatch) -> None:
    from thumbstream.images import to_srgb

    image = Image.fromarray(photo_like(640, 480)).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    whole = reduce_to_grid(image, 16).pixels
    monkeypatch.setattr(to_srgb, "BAND_PIXELS", 1)
    assert np.array_equal(reduce_to_grid(image, 16).pixels, whole)


@pytest.mark.parametrize(
    ("width", "height", "size", "shape"),
    [
        (100, 100, 32, (32, 32)),
        (400, 300, 32, (32, 24)),
        (300, 400, 32, (24, 32)),
        (1, 1, 8, (8, 8)),
        (10_000, 1, 32, (32, 1)),
        (1, 10_000, 32, (1, 32)),
        (1000, 333, 256, (256, 85)),
        (1000, 999, 8, (8, 8)),
    ],
)
def test_grid_shape(width: int, height: int, size: int, shape: tuple[int, int]) -> None:
    assert grid_shape(width, height, size) == shape
    result = reduce_to_grid(Image.new("RGB", (width, height), (9, 99, 199)), size)
    assert result.pixels.shape == (shape[1], shape[0], 3)
    assert (result.pixels == (9, 99, 199)).all()
    assert (result.width, result.height) == (width, height)


@pytest.mark.parametrize("size", [32, 256])
@pytest.mark.parametrize(
    ("picture", "grid"),
    [
        ((1, 1), (8, 8)),
        ((9, 6), (16, 11)),
        ((6, 9), (11, 16)),
        ((16, 2), (16, 2)),
        ((17, 1), (24, 1)),
    ],
)
def test_small_picture_is_not_enlarged_beyond_a_multiple_of_8(
    picture: tuple[int, int], grid: tuple[int, int], size: int
) -> None:
    assert grid_shape(*picture, size) == grid
    result = reduce_to_grid(Image.new("RGB", picture, (9, 99, 199)), size)
    assert result.pixels.shape == (grid[1], grid[0], 3)
    assert (result.width, result.height) == picture
