"""`Source`: an opened picture with its color space, orientation and visible part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from PIL import Image

from thumbstream.images.color_space import RgbSpace

Box = tuple[int, int, int, int]
"""A rectangle: left, top, right, bottom in pixels."""

Color = bytes | RgbSpace | None
"""Color space of a picture: an ICC profile, an RGB space, or None for sRGB."""


class Canvas(NamedTuple):
    """The size of a picture of which only a smaller frame is stored, and the frame's position.

    ``left`` and ``top`` are the position of the frame. The picture is transparent around the frame.
    """

    width: int
    height: int
    left: int
    top: int


@dataclass(slots=True)
class Source:
    """An opened picture within the limits; its pixels are usually not decoded yet."""

    image: Image.Image
    color: Color = None
    orientation: int = 1
    """The EXIF orientation, 1 to 8."""
    crop: Box | None = None
    """The visible part of the decoded picture; None for the whole picture."""
    canvas: Canvas | None = None
    """The larger picture of which ``image``, once cropped, is a frame; None if there is none."""
    truncated: bool = False
    """Whether the end of the file is missing."""
