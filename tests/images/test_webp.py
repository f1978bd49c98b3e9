"""WebP: files that are cut off."""

from __future__ import annotations

import numpy as np
import picture_files as files
import pytest

from thumbstream.errors import InvalidImageError
from thumbstream.images import ImageLimits, thumbnail

LARGE = files.picture(384, 256)
NOISE = np.random.default_rng(1).integers(-9, 9, LARGE.shape)
LARGE = (LARGE + NOISE).clip(0, 255).astype(np.uint8)
CLEAR = np.dstack([LARGE, np.where(np.arange(384) < 99, 0, 255)[None].repeat(256, 0)])


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("pixels", [LARGE, CLEAR.astype(np.uint8)])
def test_last_bytes_missing_is_the_rest_of_the_picture(
    pixels: np.ndarray, *, lossless: bool
) -> None:
    data = files.saved(pixels, "WEBP", lossless=lossless, quality=90)
    whole = thumbnail(data, 64, alpha=True)
    assert not whole.truncated
    for missing in (0.01, 0.1, 0.2):
        cut = data[: round(len(data) * (1 - missing))]
        try:
            found = thumbnail(cut, 64, alpha=True)
        except InvalidImageError:
            assert lossless  # the zeros need not be valid there
            continue
        assert found.truncated
        assert (found.width, found.height) == (384, 256)
        rows = int(len(whole.pixels) * (1 - missing)) - 6
        gap = found.pixels[:rows].astype(int) - whole.pixels[:rows, :, : found.pixels.shape[2]]
        assert np.abs(gap).mean() <= 2
        with pytest.raises(InvalidImageError, match=r"cut off or damaged: \d+ % of it cannot"):
            thumbnail(cut, 64, ImageLimits(max_missing=0.001))
    with pytest.raises(InvalidImageError, match="cut off"):
        thumbnail(data[: len(data) // 2], 64)


def test_cut_animation_is_refused() -> None:
    frames = [files.Image.fromarray(LARGE), files.Image.fromarray(LARGE[::-1])]
    data = files.saved(frames[0], "WEBP", save_all=True, append_images=frames[1:])
    with pytest.raises(InvalidImageError):
        thumbnail(data[:-100], 64)
