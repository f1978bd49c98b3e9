"""Pictures of four colored quarters, whose reduction is known without computing it."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent))

RED, GREEN, BLUE, GREY = (220, 30, 40), (20, 180, 60), (30, 50, 200), (120, 120, 120)

WIDTH, HEIGHT = 96, 72


def quarters_of(colors: Any) -> NDArray[np.uint8]:
    """(72, 96, 3): top left, top right, bottom left, bottom right."""
    picture = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    middle_y, middle_x = HEIGHT // 2, WIDTH // 2
    picture[:middle_y, :middle_x], picture[:middle_y, middle_x:] = colors[0], colors[1]
    picture[middle_y:, :middle_x], picture[middle_y:, middle_x:] = colors[2], colors[3]
    return picture


@pytest.fixture
def quarters() -> Image.Image:
    """96 x 72, RGB: red, green / blue, grey."""
    return Image.fromarray(quarters_of((RED, GREEN, BLUE, GREY)))


@pytest.fixture
def grey_quarters() -> Image.Image:
    """96 x 72, L: 0, 80 / 160, 255."""
    return Image.fromarray(quarters_of(((0,) * 3, (80,) * 3, (160,) * 3, (255,) * 3))[..., 0])


@pytest.fixture
def save() -> Callable[..., bytes]:
    """Write a picture file: ``save(image, "PNG", **options)``."""

    def write(image: Image.Image, format_: str, **options: Any) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, format_, **options)
        return buffer.getvalue()

    return write


@pytest.fixture
def centres() -> Callable[[NDArray[np.uint8]], list[list[int]]]:
    """Color in the middle of each quarter: top left, top right, bottom left, bottom right."""

    def measure(pixels: NDArray[np.uint8]) -> list[list[int]]:
        rows, columns = pixels.shape[0], pixels.shape[1]
        return [
            [int(v) for v in pixels[rows * y // 4, columns * x // 4]]
            for y in (1, 3)
            for x in (1, 3)
        ]

    return measure


@pytest.fixture
def near() -> Callable[..., bool]:
    """Whether every channel is within ``tolerance`` steps of what is expected."""
    return lambda found, expected, tolerance=2: bool(
        np.abs(np.array(found, int) - np.array(expected, int)).max() <= tolerance
    )
