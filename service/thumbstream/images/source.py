"""An opened picture, with everything that says how its samples are to be shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from PIL import Image

from thumbstream.images.color_space import RgbSpace

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels."""

Color = bytes | RgbSpace | None
"""Color space of a picture: an ICC profile, an RGB space, or None for sRGB."""


class Canvas(NamedTuple):
    """The picture that a smaller frame is a part of; it is transparent around the frame."""

    width: int
    height: int
    left: int
    top: int


@dataclass(slots=True)
class Source:
    """A picture whose header was checked against the limits and whose pixels are not decoded."""

    image: Image.Image
    color: Color = None
    orientation: int = 1
    """As in EXIF, 1 to 8."""
    levels: tuple[float, float] | None = None
    """The samples that are black and white, of grey deeper than 8 bits; None: see `levels_of`."""
    unsigned: bool = False
    """Whether samples of 32 bits have no sign; Pillow has only signed ones."""
    crop: Box | None = None
    """The part of the decoded picture that is shown."""
    canvas: Canvas | None = None
    """The picture that the decoded and cropped one is a frame of."""
    truncated: bool = False
    """Whether the end of the file is missing."""
