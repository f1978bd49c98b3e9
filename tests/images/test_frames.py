"""First frames: where they are smaller than the picture, it is transparent around them."""

from __future__ import annotations

import io

import numpy as np
import picture_files as files
import pytest
from PIL import Image

from thumbstream.images import reduce_to_grid, thumbnail

PICTURES = {
    file.name: file.data
    for generate in (files.gifs, files.webps, files.apngs)
    for file in generate()
    if "part" in file.name and "key" not in file.name and "rgba" not in file.name
}


@pytest.mark.parametrize("name", PICTURES)
def test_picture_is_transparent_around_a_smaller_frame(name: str) -> None:
    pixels = thumbnail(PICTURES[name], 96, alpha=True).pixels
    assert pixels.shape == (64, 96, 4)
    assert not pixels[:15, :, 3].any()
    assert not pixels[:, :25, 3].any()
    assert (pixels[35:45, 45:65, 3] == 255).all()
    flat = thumbnail(PICTURES[name], 96).pixels
    assert flat.shape == (64, 96, 3)
    assert (flat[:15] == 255).all()


UNKNOWN_TO_PILLOW = ("part-0", "part-16")
"""Animations of WebP with one frame, which Pillow opens like still pictures."""


@pytest.mark.parametrize(
    "name", [name for name in PICTURES if "apng" not in name and name not in UNKNOWN_TO_PILLOW]
)
def test_opened_picture_as_well(name: str) -> None:
    with Image.open(io.BytesIO(PICTURES[name])) as image:
        found = reduce_to_grid(image, 96, alpha=True)
    assert np.array_equal(found.pixels, thumbnail(PICTURES[name], 96, alpha=True).pixels)


OTHER = np.full((64, 96, 3), 200, np.uint8)


def test_apng_shows_its_first_frame_not_the_default_picture() -> None:
    plain = thumbnail(files.png(files.RGB), 32).pixels
    for frames in ([(files.RGB, 0, 0)], [(files.RGB, 0, 0), (OTHER, 0, 0)]):
        data = files.apng(OTHER, frames, first=False)
        assert np.array_equal(thumbnail(data, 32).pixels, plain)
    data = files.apng(files.RGB, [(OTHER, 0, 0)], first=True)
    assert np.array_equal(thumbnail(data, 32).pixels, plain)


@pytest.mark.parametrize(
    ("width", "height", "left", "top"),
    [(97, 64, 0, 0), (10, 10, 90, 0), (10, 10, 0, 60), (0, 9, 0, 0)],
)
def test_apng_with_a_frame_outside_shows_the_default_picture(
    width: int, height: int, left: int, top: int
) -> None:
    data = files.apng(OTHER, [(files.RGB, 0, 0)], first=False)
    control = files.control(0, 96, 64, 0, 0)
    assert control in data
    data = data.replace(control, files.control(0, width, height, left, top))
    assert (thumbnail(data, 32).pixels == 200).all()
