"""Transparency as a second layer, and colours of invisible pixels."""

from __future__ import annotations

import numpy as np
import pytest
from codec_pictures import cut_out, photo_like

from thumbstream.codec.alpha import fill_transparent, merge_alpha, split_alpha


def test_opaque_picture_has_one_layer() -> None:
    pixels = photo_like(0, 9, 16)
    np.testing.assert_array_equal(split_alpha(pixels), pixels[None])


def test_alpha_layer_is_grey() -> None:
    pixels = cut_out(1, 24, 32)
    colours, alpha = split_alpha(pixels)
    np.testing.assert_array_equal(alpha, pixels[..., 3:].repeat(3, -1))
    np.testing.assert_array_equal(colours, fill_transparent(pixels)[..., :3])


def test_visible_pixels_unchanged() -> None:
    pixels = cut_out(2, 32, 32)
    before, result = pixels.copy(), fill_transparent(pixels)
    seen = pixels[..., 3] > 0
    np.testing.assert_array_equal(pixels, before)
    np.testing.assert_array_equal(result[seen], pixels[seen])
    np.testing.assert_array_equal(result[..., 3], pixels[..., 3])
    assert (result[~seen] != pixels[~seen]).any()


def test_hidden_colours_have_no_influence() -> None:
    pixels = cut_out(3, 32, 24)
    other = pixels.copy()
    other[pixels[..., 3] == 0, :3] = 7
    np.testing.assert_array_equal(fill_transparent(pixels), fill_transparent(other))


def test_hidden_colours_blend_their_surroundings() -> None:
    """Red to the left of a hidden centre, blue to the right."""
    pixels = np.zeros((8, 40, 4), np.uint8)
    pixels[:, :10] = 200, 0, 0, 255
    pixels[:, 30:] = 0, 0, 200, 255
    result = fill_transparent(pixels).astype(int)
    assert (abs(result[:, 10, :3] - [200, 0, 0]) <= 12).all()
    assert (abs(result[:, 29, :3] - [0, 0, 200]) <= 12).all()
    assert (np.diff(result[4, :, 0]) <= 0).all()


def test_colours_are_weighted_by_alpha() -> None:
    pixels = np.zeros((1, 3, 4), np.uint8)
    pixels[0, 0], pixels[0, 2] = (100, 100, 100, 250), (0, 0, 0, 25)
    assert fill_transparent(pixels)[0, 1, :3].tolist() == [91, 91, 91]


def test_distant_hidden_pixels_are_filled() -> None:
    pixels = np.zeros((256, 256, 4), np.uint8)
    pixels[0, 0] = 9, 99, 199, 1
    np.testing.assert_array_equal(
        fill_transparent(pixels)[..., :3], np.full((256, 256, 3), [9, 99, 199])
    )


@pytest.mark.parametrize("alpha", [0, 1, 255])
def test_fully_opaque_and_fully_transparent_unchanged(alpha: int) -> None:
    pixels = cut_out(4, 8, 8)
    pixels[..., 3] = alpha
    np.testing.assert_array_equal(fill_transparent(pixels), pixels)


def test_decoded_alpha_is_the_mean_of_its_channels() -> None:
    x_hat = np.random.default_rng(5).normal(size=(7, 2, 3, 4, 5)).astype(np.float32)
    pictures = merge_alpha(x_hat)
    np.testing.assert_array_equal(pictures[:, :3], x_hat[:, 0])
    np.testing.assert_allclose(pictures[:, 3], x_hat[:, 1].mean(1), rtol=1e-6)
    np.testing.assert_array_equal(merge_alpha(x_hat[:, :1]), x_hat[:, 0])
