"""Transparency: no fringes, dropped where the picture is opaque, in every mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from thumbstream.images import reduce_to_grid, thumbnail

Save = Callable[..., bytes]
Near = Callable[..., bool]
Centres = Callable[[NDArray[np.uint8]], list[list[int]]]

RED = (210, 40, 30)


def disc(hidden: tuple[int, int, int], side: int = 480) -> NDArray[np.uint8]:
    """A red disc with a soft edge; transparent around it, over the colour ``hidden``."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    alpha = np.clip(side * 0.4 - np.hypot(x, y) + 0.5, 0, 1)
    pixels = np.empty((side, side, 4), np.uint8)
    pixels[..., :3] = np.where(alpha[..., None] > 0, RED, hidden)
    pixels[..., 3] = np.rint(255 * alpha)
    return pixels


@pytest.mark.parametrize("hidden", [(0, 0, 0), (255, 255, 255), (0, 255, 0)])
@pytest.mark.parametrize("size", [16, 32, 64])
def test_no_fringes(hidden: tuple[int, int, int], size: int) -> None:
    """Every visible pixel of the disc is red: colors that alpha hides do not count."""
    pixels = reduce_to_grid(Image.fromarray(disc(hidden)), size, alpha=True).pixels
    assert pixels.shape == (size, size, 4)
    alpha = pixels[..., 3]
    assert ((alpha > 8) & (alpha < 247)).sum() > size / 2  # the edge is soft
    # Premultiplied samples of 8 bits: half a level each way, divided by alpha again.
    error = np.abs(pixels[..., :3].astype(float) - RED).max(-1)
    assert (error[alpha > 0] <= 1 + 255 / alpha[alpha > 0]).all()


def test_hidden_colors_do_not_change_the_result() -> None:
    grids = [
        reduce_to_grid(Image.fromarray(disc(hidden)), 32, alpha=True).pixels
        for hidden in ((0, 0, 0), (255, 255, 255))
    ]
    np.testing.assert_array_equal(*grids)


def test_grid_has_the_alpha_of_the_picture() -> None:
    """Its mean is preserved, and so is the picture over any background."""
    source = disc((0, 0, 255)).astype(float)
    pixels = reduce_to_grid(Image.fromarray(source.astype(np.uint8)), 32, alpha=True).pixels
    assert abs(pixels[..., 3].mean() - source[..., 3].mean()) < 1
    for background in (0, 255):
        seen = [
            (p[..., :3] * p[..., 3:] + background * (255 - p[..., 3:])).mean() / 255
            for p in (source, pixels.astype(float))
        ]
        assert abs(seen[0] - seen[1]) < 1


def test_flattened_by_default() -> None:
    picture = Image.fromarray(disc((0, 0, 0)))
    flat = reduce_to_grid(picture, 32).pixels
    assert flat.shape == (32, 32, 3)
    assert (flat[0, 0] == 255).all()


@pytest.mark.parametrize("alpha", [255, 254, 250])
def test_nearly_opaque_alpha_is_dropped(alpha: int) -> None:
    pixels = disc((9, 9, 9))
    pixels[..., 3] = alpha
    kept = reduce_to_grid(Image.fromarray(pixels), 32, alpha=True).pixels
    assert kept.shape == (32, 32, 3)
    assert kept.flags.c_contiguous
    opaque = reduce_to_grid(Image.fromarray(pixels[..., :3]), 32).pixels
    assert np.abs(kept.astype(int) - opaque).max() <= 2


def test_opaque_pictures_are_unchanged(quarters: Image.Image, save: Save) -> None:
    for mode in ("RGB", "RGBA", "L", "P", "LA"):
        data = save(quarters.convert(mode), "PNG")
        expected = thumbnail(save(quarters.convert(mode).convert("RGB"), "PNG"), 32).pixels
        np.testing.assert_array_equal(thumbnail(data, 32, alpha=True).pixels, expected)


def test_one_transparent_pixel_on_the_grid_is_enough() -> None:
    pixels = np.full((32, 32, 4), 255, np.uint8)
    pixels[7, 9, 3] = 0
    kept = reduce_to_grid(Image.fromarray(pixels), 32, alpha=True).pixels
    np.testing.assert_array_equal(kept[..., 3], pixels[..., 3])


@pytest.mark.parametrize("format_", ["PNG", "WEBP", "TIFF", "AVIF"])
def test_formats_with_alpha(save: Save, near: Near, format_: str) -> None:
    options: dict[str, Any] = {"lossless": True} if format_ == "WEBP" else {"quality": 95}
    pixels = thumbnail(save(Image.fromarray(disc(RED)), format_, **options), 32, alpha=True).pixels
    assert pixels.shape == (32, 32, 4)
    assert pixels[0, 0, 3] == 0
    assert near([pixels[16, 16]], [(*RED, 255)], 8 if format_ == "AVIF" else 1)


@pytest.mark.parametrize("format_", ["PNG", "GIF"])
def test_palettes(
    quarters: Image.Image, save: Save, centres: Centres, near: Near, format_: str
) -> None:
    indexed = quarters.quantize(4, dither=Image.Dither.NONE)
    clear = indexed.getpixel((5, 5))
    pixels = thumbnail(save(indexed, format_, transparency=clear), 32, alpha=True).pixels
    assert pixels.shape == (24, 32, 4)
    assert near(centres(pixels[..., 3:]), [[0], [255], [255], [255]], 0)


@pytest.mark.parametrize("mode", ["LA", "La", "RGBa", "PA"])
def test_other_modes_with_alpha(mode: str) -> None:
    grey = Image.fromarray(disc((77, 77, 77))).convert("LA")
    step = {"La": "LA", "PA": "P"}.get(mode, "RGBA")
    picture = grey.convert(step).convert(mode) if mode != "LA" else grey
    if mode == "PA":
        picture.putalpha(grey.getchannel("A"))
    pixels = reduce_to_grid(picture, 32, alpha=True).pixels
    assert pixels.shape == (32, 32, 4)
    assert (pixels[0, 0, 3], pixels[16, 16, 3]) == (0, 255)


def test_transparent_color_of_16_bits(save: Save) -> None:
    samples = np.full((64, 64), 40000, np.uint16)
    samples[:, :32] = 12345
    picture = Image.fromarray(samples)
    picture.info["transparency"] = 12345
    pixels = reduce_to_grid(picture, 32, alpha=True).pixels
    assert pixels.shape == (32, 32, 4)
    assert (pixels[:, :12, 3] == 0).all()
    assert (pixels[:, 20:, 3] == 255).all()


def test_alpha_is_turned_upright() -> None:
    pixels = disc((0, 0, 0))[:, :240]
    picture = Image.fromarray(pixels)
    picture.getexif()[0x0112] = 6
    small = reduce_to_grid(picture, 32, alpha=True)
    assert small.pixels.shape == (16, 32, 4)
    assert (small.width, small.height) == (480, 240)
    assert small.pixels[0, 16, 3] == 0
    assert small.pixels[-1, 16, 3] == 255
