"""Drawn training pictures: web pages, documents, windows, plots, diagrams, slides, logos, maps.

Collections of photographs have none of these, and previews are made of screenshots, too. Every
drawing function fills a box of a canvas, so that a window can show a table and a slide a plot;
those in `_SCENES` also fill whole pictures. A picture depends on (seed, index) and on the versions
of Pillow and NumPy.
"""

from __future__ import annotations

import colorsys
import dataclasses
import io
import math
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

LONG_SIDE = (320, 1000)
"""Pixels, at least and at most."""
MAX_ASPECT = 2.0

_T = TypeVar("_T")
_Colour = tuple[int, int, int]
_LETTERS = "etaoinshrdlucmfwypvbgk"  # the frequent ones first
_LETTER_WIDTH = 0.56  # of the font's size, on average


def write(path: Path, count: int, seed: int) -> None:
    """Write a tar of ``count`` PNG files; raises `ValueError` if that is less than one."""
    if count < 1:
        raise ValueError(f"expected a count of 1 or more, got {count}")
    with tarfile.open(path, "w") as tar:
        for index in range(count):
            stream = io.BytesIO()
            draw(seed, index).save(stream, "PNG", compress_level=3)
            entry = tarfile.TarInfo(f"graphics-{index:05}.png")
            entry.size = stream.tell()
            stream.seek(0)
            tar.addfile(entry, stream)


def draw(seed: int, index: int) -> Image.Image:
    """Picture number ``index``, RGB; the same at every call."""
    rng = np.random.default_rng((seed, index))
    long_side = math.exp(rng.uniform(math.log(LONG_SIDE[0]), math.log(LONG_SIDE[1])))
    aspect = math.exp(rng.uniform(-1, 1) * math.log(MAX_ASPECT))
    width, height = round(long_side * min(1, aspect)), round(long_side * min(1, 1 / aspect))
    palette = _palette(rng)
    image = Image.new("RGB", (width, height), palette.ground)
    unit = max(7.0, long_side / rng.uniform(28, 75))
    canvas = _Canvas(image, ImageDraw.Draw(image), rng, palette, unit)
    canvas.pick(_SCENES)(canvas, _Box(0, 0, width, height))
    return image


class _Box(NamedTuple):
    """A rectangle in pixels, and its parts."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def short(self) -> float:
        return min(self.width, self.height)

    def inset(self, margin: float) -> _Box:
        left, top, right, bottom = self
        return _Box(left + margin, top + margin, right - margin, bottom - margin)

    def square(self) -> _Box:
        x, y, half = (self.left + self.right) / 2, (self.top + self.bottom) / 2, self.short / 2
        return _Box(x - half, y - half, x + half, y + half)

    def split_top(self, height: float) -> tuple[_Box, _Box]:
        cut = min(self.top + height, self.bottom)
        return self._replace(bottom=cut), self._replace(top=cut)

    def split_left(self, width: float) -> tuple[_Box, _Box]:
        cut = min(self.left + width, self.right)
        return self._replace(right=cut), self._replace(left=cut)

    def lines(self, height: float) -> Iterator[_Box]:
        for i in range(int(self.height / height)):
            top = self.top + i * height
            yield self._replace(top=top, bottom=top + height)

    def grid(self, rows: int, columns: int, gap: float = 0) -> Iterator[_Box]:
        width, height = (self.width + gap) / columns, (self.height + gap) / rows
        for row in range(rows):
            for column in range(columns):
                x, y = self.left + column * width, self.top + row * height
                yield _Box(x, y, x + width - gap, y + height - gap)


@dataclass(frozen=True, slots=True)
class _Palette:
    ground: _Colour
    surface: _Colour  # of cards, bars and fields on the ground
    line: _Colour
    faint: _Colour
    ink: _Colour
    accents: tuple[_Colour, ...]


@dataclass(frozen=True, slots=True)
class _Canvas:
    """A picture in the making; ``unit`` is the size of its body text in pixels."""

    image: Image.Image
    pen: ImageDraw.ImageDraw
    rng: np.random.Generator
    palette: _Palette
    unit: float

    def whole(self, first: int, last: int) -> int:
        return int(self.rng.integers(first, last + 1))

    def real(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def maybe(self, probability: float = 0.5) -> bool:
        return float(self.rng.random()) < probability

    def pick(self, items: Sequence[_T]) -> _T:
        return items[int(self.rng.integers(len(items)))]

    def accent(self) -> _Colour:
        return self.pick(self.palette.accents)

    def fill(
        self, box: _Box, colour: _Colour, radius: float = 0, outline: _Colour | None = None
    ) -> None:
        """A rectangle, with round corners if there is a radius; nothing in an empty box."""
        if box.short >= 1:
            radius = max(0.0, min(radius, box.short / 2 - 1))
            self.pen.rounded_rectangle(box, radius, colour, outline)

    def paint(self, box: _Box, pixels: NDArray[np.uint8], *, smooth: bool = False) -> None:
        """Pixels ``(H, W, 3)``, enlarged to the box."""
        left, top, right, bottom = map(round, box)
        how = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
        if right > left and bottom > top:
            scaled = Image.fromarray(pixels).resize((right - left, bottom - top), how)
            self.image.paste(scaled, (left, top))

    def blend(self, box: _Box, start: _Colour, end: _Colour) -> None:
        """A gradient to the right or downwards."""
        pixels = np.linspace(start, end, 16).astype(np.uint8)
        self.paint(box, pixels[None] if self.maybe() else pixels[:, None], smooth=True)

    def text(
        self,
        x: float,
        y: float,
        width: float,
        colour: _Colour,
        size: float = 0,
        *,
        bold: bool = False,
    ) -> float:
        """Random words from (x, y) on, about ``width`` pixels long; returns their length."""
        size = size or self.unit
        length = max(0, int(width / (size * _LETTER_WIDTH)))
        picks = (self.rng.random(length) ** 1.6 * len(_LETTERS)).astype(int)
        letters = [_LETTERS[i] for i in picks]
        for place in np.cumsum(self.rng.integers(3, 10, length // 3)):
            if place < length - 1:
                letters[place] = " "
        words = "".join(letters).capitalize()
        self.pen.text((x, y), words, colour, _font(round(size)), stroke_width=0.4 if bold else 0)
        return length * size * _LETTER_WIDTH


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(max(size, 5))


def _palette(rng: np.random.Generator) -> _Palette:
    """Mostly light, often dark, sometimes of strong colour; blue more often than other hues."""
    hue, theme = rng.normal(0.6, 0.06) if rng.random() < 0.4 else rng.random(), rng.random()
    if theme < 0.62:
        ground, surface, ink = (0.0, 1.0), (rng.uniform(0, 0.06), 0.96), (rng.uniform(0, 0.5), 0.15)
        if rng.random() < 0.4:
            ground, surface = surface, ground
    elif theme < 0.88:
        tint, value = rng.uniform(0, 0.5), rng.uniform(0.03, 0.2)
        ground, surface, ink = (tint, value), (tint, value + 0.08), (tint / 8, rng.uniform(0.8, 1))
    else:
        ground, surface = (rng.uniform(0.3, 0.9), rng.uniform(0.5, 1)), (0.1, 1.0)
        ink = (0.0, _ink_on(_colour(hue, *ground))[0] / 255)
    back, front = _colour(hue, *ground), _colour(hue, *ink)
    accents = tuple(
        _colour(hue + rng.normal(0, 0.3), rng.uniform(0.4, 1), rng.uniform(0.5, 1))
        for _ in range(int(rng.integers(1, 6)))
    )
    line, faint = (_mix(back, front, rng.uniform(*part)) for part in ((0.1, 0.3), (0.35, 0.6)))
    return _Palette(back, _colour(hue, *surface), line, faint, front, accents)


def _colour(hue: float, saturation: float, value: float) -> _Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def _mix(a: _Colour, b: _Colour, weight: float) -> _Colour:
    red, green, blue = (round(p + (q - p) * weight) for p, q in zip(a, b, strict=True))
    return red, green, blue


def _ink_on(colour: _Colour) -> _Colour:
    return (20, 20, 20) if np.dot(colour, (0.3, 0.59, 0.11)) > 150 else (255, 255, 255)


# Text


def _heading(c: _Canvas, box: _Box) -> None:
    size = min(c.unit * c.real(1.4, 3.2), box.height / 1.2)
    colour = c.palette.ink if c.maybe(0.7) else c.accent()
    c.text(box.left, box.top, box.width * c.real(0.3, 0.95), colour, size, bold=c.maybe())


def _paragraphs(c: _Canvas, box: _Box) -> None:
    colour = c.pick((c.palette.ink, c.palette.ink, c.palette.faint))
    remaining = c.whole(2, 12)
    for line in box.lines(c.unit * c.real(1.2, 1.7)):
        if remaining >= 0:  # the last line is shorter, and an empty one follows
            part = c.real(0.88, 1) if remaining else c.real(0.2, 0.8)
            c.text(line.left, line.top, box.width * part, colour)
        remaining = remaining - 1 if remaining >= 0 else c.whole(2, 12)


def _article(c: _Canvas, box: _Box) -> None:
    title, rest = box.split_top(c.unit * 3.5)
    _heading(c, title)
    columns = max(1, min(c.whole(1, 3), int(rest.width / (c.unit * 14))))
    for column in rest.grid(1, columns, c.unit * 1.5):
        shown, text = column.split_top(column.height * c.pick((0, 0, c.real(0.2, 0.5))))
        if shown.height:
            c.pick((_photograph, _plot, _table))(c, shown.inset(c.unit / 2))
        _paragraphs(c, text)


def _table(c: _Canvas, box: _Box) -> None:
    height, columns = c.unit * c.real(1.5, 2.4), c.whole(2, 7)
    striped, ruled, header = c.maybe(), c.maybe(), c.pick((c.accent(), c.palette.line))
    for row, line in enumerate(box.lines(height)):
        if row == 0 or (striped and row % 2):
            c.fill(line, c.palette.surface if row else header)
        ink = c.palette.ink if row else _ink_on(header)
        for cell in line.grid(1, columns):
            x, y = cell.left + c.unit / 3, cell.top + height / 5
            c.text(x, y, cell.width * c.real(0.3, 0.8), ink)
            if ruled:
                c.pen.rectangle(cell, outline=c.palette.line)


def _listing(c: _Canvas, box: _Box) -> None:
    """Rows with an icon, a title and a fainter second line; perhaps one is selected."""
    height, selected, icons, radius = c.unit * c.real(1.8, 4), c.whole(0, 12), c.maybe(0.75), c.unit
    for row, line in enumerate(box.lines(height)):
        if row == selected:
            c.fill(line, c.accent(), c.unit / 3)
        x = line.left + c.unit / 2
        if icons:
            c.fill(line.split_left(height)[0].inset(height / 5), c.accent(), radius)
            x = line.left + height
        c.text(x, line.top + height * 0.15, (line.right - x) * c.real(0.3, 0.9), c.palette.ink)
        if height > 2.6 * c.unit:
            width = (line.right - x) * c.real(0.3, 0.9)
            c.text(x, line.top + height * 0.55, width, c.palette.faint, c.unit * 0.8)


def _code(c: _Canvas, box: _Box) -> None:
    indent, inks = 0, (c.palette.ink, c.palette.ink, c.palette.faint, *c.palette.accents)
    for line in box.lines(c.unit * c.real(1.25, 1.5)):
        c.text(line.left, line.top, c.unit * 1.5, c.palette.line)  # its number
        indent = max(0, min(6, indent + c.whole(-1, 1)))
        x = line.left + c.unit * (2.5 + 1.5 * indent)
        for _ in range(c.whole(0, 7)):
            width = min(line.right - x, c.unit * c.real(1, 6))
            x += c.text(x, line.top, width, c.pick(inks)) + c.unit / 2


def _messages(c: _Canvas, box: _Box) -> None:
    colours, rest = (c.palette.surface, c.accent()), box
    while rest.height > c.unit * 7:
        own = c.maybe()
        bubble, rest = rest.split_top(c.unit * (c.whole(1, 4) * 1.2 + 0.9))
        cut = bubble.width * c.real(0.25, 0.7)
        bubble = bubble._replace(left=bubble.left + own * cut, right=bubble.right - (not own) * cut)
        c.fill(bubble, colours[own], c.unit)
        for line in bubble.inset(c.unit * 0.4).lines(c.unit * 1.2):
            c.text(line.left, line.top, line.width * c.real(0.6, 0.95), _ink_on(colours[own]))
        rest = rest.split_top(c.unit * c.real(0.4, 1.5))[1]


# Plots and diagrams


def _plot(c: _Canvas, box: _Box) -> None:
    small = box.short < 9 * c.unit
    frame = box.inset(c.unit * (0.3 if small else 2.2))
    if frame.short < 6:
        return
    if c.maybe(0.12):
        _pie(c, frame.square())
        return
    if not small:
        _axes(c, frame)
    c.pick((_curves, _curves, _bars, _points))(c, frame)
    if not small and c.maybe():
        _legend(c, frame)


def _axes(c: _Canvas, frame: _Box) -> None:
    ticks, grid, ink = c.whole(3, 8), c.maybe(0.6), c.palette.ink
    left, top, right, bottom = frame
    for i in range(ticks):
        x, y = left + frame.width * i / ticks, bottom - frame.height * i / ticks
        if grid:
            c.pen.line((left, y, right, y), c.palette.line)
            c.pen.line((x, top, x, bottom), c.palette.line)
        c.text(x, bottom + c.unit / 3, c.unit * 1.2, ink, c.unit * 0.8)
        c.text(left - c.unit * 1.6, y - c.unit / 2, c.unit * 1.2, ink, c.unit * 0.8)
    c.pen.line((left, top, left, bottom, right, bottom), ink, c.whole(1, 3))
    if c.maybe(0.7):
        c.text(left + frame.width / 5, top - c.unit * 1.7, frame.width * c.real(0.3, 0.7), ink)


def _curves(c: _Canvas, frame: _Box) -> None:
    count, width, filled = c.whole(5, 80), c.whole(1, 6), c.maybe(0.25)
    x = np.linspace(frame.left, frame.right, count)
    for _ in range(c.whole(1, 6)):
        walk = np.cumsum(c.rng.normal(c.real(-0.5, 0.5), 1, count))
        walk = (walk - walk.min()) / (np.ptp(walk) + 1e-9) * c.real(0.3, 0.9) + c.real(0, 0.1)
        line = np.stack([x, frame.bottom - walk * frame.height], 1).ravel().tolist()
        if filled:
            ends = [frame.right, frame.bottom, frame.left, frame.bottom]
            c.pen.polygon(line + ends, c.accent())
        c.pen.line(line, c.accent(), width, joint="curve")


def _bars(c: _Canvas, frame: _Box) -> None:
    groups, series, sideways = c.whole(2, 14), c.whole(1, 3), c.maybe(0.3)
    colours = [c.accent() for _ in range(series)]
    gap = frame.short / groups / 4
    for group in frame.grid(groups, 1, gap) if sideways else frame.grid(1, groups, gap):
        bars = group.grid(series, 1) if sideways else group.grid(1, series)
        for bar, colour in zip(bars, colours, strict=True):
            part = c.real(0.1, 0.95)
            lying, standing = (
                bar.split_left(bar.width * part)[0],
                bar.split_top(bar.height * part)[1],
            )
            c.fill(lying if sideways else standing, colour)


def _points(c: _Canvas, frame: _Box) -> None:
    corner, size, radius = (
        np.array(frame[:2]),
        (frame.width, frame.height),
        c.unit * c.real(0.12, 0.5),
    )
    for _ in range(c.whole(1, 4)):
        spread = np.diag(c.rng.uniform(0.03, 0.2, 2)) @ np.array([[1, c.real(-1, 1)], [0, 1]])
        places = c.rng.normal(size=(c.whole(10, 90), 2)) @ spread + c.rng.uniform(0.25, 0.75, 2)
        colour = c.accent()
        for x, y in corner + size * np.clip(places, 0.02, 0.98):
            c.pen.ellipse((x - radius, y - radius, x + radius, y + radius), colour)


def _pie(c: _Canvas, square: _Box) -> None:
    ends = c.real(0, 360) + np.cumsum(c.rng.dirichlet(np.ones(c.whole(2, 7)))) * 360
    for first, last in pairwise([ends[-1] - 360, *ends]):
        colour = _mix(c.accent(), c.palette.ground, c.real(0, 0.6))
        c.pen.pieslice(square, first, last, colour, c.palette.ground)
    if c.maybe(0.4):
        c.pen.ellipse(square.inset(square.width * c.real(0.15, 0.35)), c.palette.ground)


def _legend(c: _Canvas, frame: _Box) -> None:
    inner, width = frame.inset(c.unit / 2), c.unit * c.real(5, 9)
    place = inner.split_left(width if c.maybe() else inner.width - width)[c.whole(0, 1)]
    place = place.split_top(c.unit * 1.4 * c.whole(2, 5))[0]._replace(right=place.left + width)
    c.fill(place, c.palette.ground, 0, c.palette.line)
    for line in place.lines(c.unit * 1.39):
        c.fill(line.split_left(line.height)[0].inset(line.height / 4), c.accent())
        x = line.left + line.height * 1.2
        c.text(x, line.top, line.right - x - c.unit, c.palette.ink, c.unit * 0.9)


def _diagram(c: _Canvas, box: _Box) -> None:
    """Boxes with words, on a grid with some left out, joined by arrows."""
    columns = max(2, min(c.whole(2, 5), int(box.width / (c.unit * 7))))
    rows = max(2, min(c.whole(2, 6), int(box.height / (c.unit * 5))))
    grid = box.inset(c.unit * 2).grid(rows, columns, c.unit * c.real(1.5, 3.5))
    places, thickness = [place for place in grid if c.maybe(0.75)], c.whole(1, 4)
    for a, b in pairwise(places):
        _arrow(c, ((a.left + a.right) / 2, a.bottom), ((b.left + b.right) / 2, b.top), thickness)
    radius, plain, ovals = c.unit * c.real(0, 1), c.maybe(), c.maybe(0.2)
    for place in places:
        colour = c.palette.ground if plain else c.accent()
        if ovals:
            c.pen.ellipse(place, colour, c.palette.ink, thickness)
        else:
            c.fill(place, colour, radius, c.palette.ink)
        x, y = place.left + place.width * 0.15, (place.top + place.bottom - c.unit) / 2
        c.text(x, y, place.width * 0.7, _ink_on(colour))


def _arrow(
    c: _Canvas, start: tuple[float, float], end: tuple[float, float], thickness: int
) -> None:
    (x, y), head, middle = end, c.unit * 0.4, (start[1] + end[1]) / 2
    bends = ((start[0], middle), (x, middle)) if c.maybe() else ()
    c.pen.line((start, *bends, end), c.palette.ink, thickness)
    c.pen.polygon((end, (x - head, y - 2 * head), (x + head, y - 2 * head)), c.palette.ink)


# Shapes and surfaces


def _photograph(c: _Canvas, box: _Box) -> None:
    """A smooth patch of colours in place of a photograph, or a gradient."""
    if c.maybe(0.3):
        c.blend(box, c.accent(), _mix(c.accent(), c.palette.ground, c.real(0, 1)))
        return
    rows, columns = c.whole(2, 9), c.whole(2, 9)
    noise = c.rng.normal(0, 50, (rows, columns, 1)) + c.rng.normal(0, 15, (rows, columns, 3))
    pixels = np.clip(np.array(c.pick((c.accent(), (128, 128, 128)))) + noise, 0, 255)
    c.paint(box, pixels.astype(np.uint8), smooth=True)


def _emblem(c: _Canvas, box: _Box) -> None:
    """A few flat shapes over each other in a square, perhaps with a letter."""
    box = box.square()
    if box.width < 4:
        return
    if c.maybe(0.3):
        c.fill(box, c.accent(), box.width * c.real(0, 0.3))
        box = box.inset(box.width * 0.15)
    for _ in range(c.whole(1, 4)):
        colour = c.accent() if c.maybe(0.75) else c.pick((c.palette.ink, c.palette.ground))
        c.pick((_disc, _star, _stripe))(c, box, colour)
        box = box.inset(box.width * c.real(0.05, 0.22))
    if c.maybe(0.3):
        size = box.height
        c.text(
            box.left + size / 5, box.top - size / 10, size * 0.6, c.palette.ground, size, bold=True
        )


def _disc(c: _Canvas, box: _Box, colour: _Colour) -> None:
    if c.maybe(0.4):
        start = c.real(0, 360)
        c.pen.arc(box, start, start + c.real(120, 360), colour, max(1, int(box.width / 6)))
    else:
        c.pen.ellipse(box, colour)


def _star(c: _Canvas, box: _Box, colour: _Colour) -> None:
    """A star, or a regular polygon: the inner corners are in the middle of its sides."""
    corners, phase = c.whole(3, 8), c.real(0, math.tau)
    inner = c.pick((math.cos(math.pi / corners), c.real(0.3, 0.7)))
    angles = phase + math.pi / corners * np.arange(2 * corners)
    reach = box.width / 2 * np.where(np.arange(2 * corners) % 2, inner, 1)
    x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2
    points = np.stack([x + reach * np.cos(angles), y + reach * np.sin(angles)], 1)
    c.pen.polygon(points.ravel().tolist(), colour)


def _stripe(c: _Canvas, box: _Box, colour: _Colour) -> None:
    width, height = box.width * c.real(0.2, 1), box.height * c.real(0.2, 1)
    x, y = c.real(box.left, box.right - width), c.real(box.top, box.bottom - height)
    c.fill(_Box(x, y, x + width, y + height), colour, c.pick((0, width / 4)))


def _bands(c: _Canvas, box: _Box) -> None:
    """A smooth random surface in a few flat colours, as coasts and contour lines have."""
    noise = c.rng.integers(0, 256, (c.whole(3, 9), c.whole(3, 9)), dtype=np.uint8)
    size = max(1, round(box.width / 2)), max(1, round(box.height / 2))
    surface = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)
    count = c.whole(2, 5)
    colours = [_mix(c.accent(), c.palette.ground, c.real(0.2, 0.9)) for _ in range(count)]
    levels = np.asarray(surface, np.uint16) * count // 256
    c.paint(box, np.array(colours, np.uint8)[levels])


# Scenes


def _cards(c: _Canvas, box: _Box) -> None:
    """A grid of cards, all of one kind: a picture, an emblem or a plot above some text."""
    columns = max(1, min(c.whole(1, 5), int(box.width / (c.unit * 7))))
    rows = max(1, min(c.whole(1, 5), int(box.height / (c.unit * 7))))
    show, framed = c.pick((_photograph, _photograph, _emblem, _plot, _plot)), c.maybe(0.7)
    radius, part = c.unit * c.real(0, 1), c.real(0.3, 1)
    for card in box.grid(rows, columns, c.unit):
        if framed:
            c.fill(card, c.palette.surface, radius, c.palette.line)
        shown, text = card.inset(c.unit / 2).split_top(card.height * part)
        show(c, shown)
        _paragraphs(c, text.inset(c.unit / 3))


def _toolbar(c: _Canvas, box: _Box) -> None:
    colour = c.pick((c.palette.surface, c.palette.ink, c.accent()))
    c.fill(box, colour)
    _emblem(c, box.split_left(c.unit * 3)[0].inset(4))
    x, y = box.left + c.unit * 4, (box.top + box.bottom - c.unit) / 2
    for _ in range(c.whole(1, 7)):
        x += c.text(x, y, c.unit * c.real(2, 5), _ink_on(colour)) + c.unit
    if c.maybe():
        field = _Box(
            box.right - c.unit * c.real(5, 12), y - 3, box.right - c.unit, y + c.unit * 1.4
        )
        c.fill(field, c.pick((c.palette.ground, c.accent())), c.unit)


def _button(c: _Canvas, box: _Box) -> None:
    colour = c.accent() if c.maybe(0.7) else c.palette.surface
    place = box.split_left(c.unit * c.real(5, 12))[0].split_top(c.unit * 2.2)[0]
    c.fill(place, colour, c.unit * c.real(0, 1.1), c.palette.line)
    c.text(place.left + c.unit / 2, place.top + c.unit / 2, place.width - c.unit, _ink_on(colour))


def _web_page(c: _Canvas, box: _Box) -> None:
    """A header, perhaps a banner and a side column, then rows of content."""
    header, rest = box.split_top(c.unit * c.real(2.5, 4))
    _toolbar(c, header)
    if c.maybe():
        banner, rest = rest.split_top(box.height * c.real(0.15, 0.45))
        if c.maybe(0.75):
            _photograph(c, banner)
        title, action = banner.inset(c.unit * 2).split_top(banner.height - c.unit * 6)
        _heading(c, title)
        _button(c, action)
    rest = rest.inset(c.unit * c.real(0.5, 2))
    if c.maybe(0.4) and box.width > 25 * c.unit:
        side, rest = rest.split_left(box.width * c.real(0.18, 0.3))
        c.pick((_listing, _paragraphs, _cards))(c, side.inset(c.unit / 2))
    while rest.height > 6 * c.unit:
        row, rest = rest.split_top(max(8 * c.unit, box.height * c.real(0.15, 0.6)))
        c.pick((_article, _article, _cards, _cards, _listing, _table))(c, row.inset(c.unit / 2))


def _document(c: _Canvas, box: _Box) -> None:
    """White paper with margins, on its own or on a desk."""
    paper = _colour(c.real(0.05, 0.2), c.pick((0, 0, 0.03, 0.1)), c.real(0.94, 1))
    ink = (c.whole(0, 60),) * 3
    surface, line, faint = (_mix(paper, ink, weight) for weight in (0.06, 0.2, 0.5))
    palette = _Palette(paper, surface, line, faint, ink, (*c.palette.accents, faint))
    c = dataclasses.replace(c, palette=palette)
    desk = c.maybe(0.3)
    c.fill(box, c.pick((faint, c.accent())) if desk else paper)
    page = box.inset(box.short * c.real(0.03, 0.1) * desk)
    c.fill(page, paper)
    rest = page.inset(page.short * c.real(0.05, 0.14))
    while rest.height > 4 * c.unit:
        part, rest = rest.split_top(max(7 * c.unit, box.height * c.real(0.1, 0.7)))
        c.pick((_article, _article, _article, _paragraphs, _table, _plot))(c, part)


def _window(c: _Canvas, box: _Box) -> None:
    """An application: a bar, perhaps a sidebar and a status line, and what it shows."""
    c.fill(box, c.palette.ground)
    title, rest = box.split_top(c.unit * c.real(1.6, 2.6))
    _toolbar(c, title)
    if c.maybe(0.65):
        side, rest = rest.split_left(box.width * c.real(0.12, 0.35))
        c.fill(side, c.palette.surface)
        _listing(c, side.inset(c.unit / 2))
    if c.maybe(0.4):
        rest, status = rest.split_top(rest.height - c.unit * 1.5)
        c.fill(status, c.accent())
    contents = (_code, _code, _code, _listing, _table, _cards, _messages, _article, _plot, _bands)
    c.pick(contents)(c, rest.inset(c.unit))


def _desktop(c: _Canvas, box: _Box) -> None:
    """Windows with palettes of their own over a background."""
    _photograph(c, box)
    for _ in range(c.whole(1, 3)):
        width, height = box.width * c.real(0.4, 0.85), box.height * c.real(0.4, 0.85)
        x, y = c.real(0, box.width - width), c.real(0, box.height - height)
        themed = dataclasses.replace(c, palette=_palette(c.rng))
        _window(themed, _Box(x, y, x + width, y + height))
    _toolbar(c, box.split_top(box.height - c.unit * 2)[1])


def _slide(c: _Canvas, box: _Box) -> None:
    if c.maybe(0.3):
        c.blend(box, c.palette.ground, _mix(c.palette.ground, c.accent(), 0.4))
    elif c.maybe(0.3):
        c.fill(box.split_top(box.height * c.real(0.03, 0.25))[0], c.accent())
    c = dataclasses.replace(c, unit=max(c.unit, max(box.width, box.height) / c.real(20, 35)))
    title, rest = box.inset(box.short * 0.07).split_top(c.unit * 3)
    _heading(c, title)
    contents = (_paragraphs, _listing, _plot, _diagram, _photograph, _emblem, _cards)
    columns = c.whole(1, 2) if rest.width > rest.height else 1
    for part in rest.grid(1, columns, c.unit):
        c.pick(contents)(c, part)


def _logo(c: _Canvas, box: _Box) -> None:
    """An emblem on plain ground or a gradient, perhaps with a name."""
    if c.maybe(0.2):
        c.blend(box, c.accent(), c.accent())
    shown = box.inset(box.short * c.real(0.03, 0.3))
    if c.maybe(0.4):
        shown, name = shown.split_top(shown.height * c.real(0.5, 0.85))
        size, colour = min(name.height * 0.8, name.width / 5), c.pick((c.palette.ink, c.accent()))
        c.text(name.left, name.top, name.width, colour, size, bold=c.maybe())
    _emblem(c, shown)


def _icons(c: _Canvas, box: _Box) -> None:
    for place in box.inset(c.unit).grid(c.whole(1, 6), c.whole(2, 6), c.unit * c.real(0.5, 2)):
        _emblem(c, place)


def _map(c: _Canvas, box: _Box) -> None:
    """Land and water or plain ground, roads of two widths, names."""
    if c.maybe(0.7):
        _bands(c, box)
    main, side = c.accent(), c.pick(((255, 255, 255), c.palette.surface))
    for i in range(c.whole(4, 24)):
        line = [(box.left, c.real(*box[1::2])), (box.right, c.real(*box[1::2]))]
        if c.maybe():
            line = [(c.real(*box[::2]), box.top), (c.real(*box[::2]), box.bottom)]
        width = round(c.unit * (0.25 if i % 4 else 0.7))
        c.pen.line(line, c.palette.line, width + 2)
        c.pen.line(line, side if i % 4 else main, max(1, width))
    for _ in range(c.whole(0, 14)):
        c.text(c.real(*box[::2]), c.real(*box[1::2]), c.unit * c.real(3, 8), c.palette.ink)


def _matrix_code(c: _Canvas, box: _Box) -> None:
    """Random black and white squares with three corners, as codes for cameras have."""
    n = c.whole(17, 41)
    dark = c.rng.random((n, n)) < 0.5
    corner = np.pad(np.pad(np.pad(np.ones((3, 3), bool), 1), 1, constant_values=True), 1)
    for y, x in ((0, 0), (0, n - 9), (n - 9, 0)):
        dark[y : y + 9, x : x + 9] = corner
    dark = np.pad(dark[1:-1, 1:-1], 2)
    square = box.square().inset(box.short * c.real(0, 0.3))
    ink = c.palette.ink if sum(c.palette.ink) < 300 else (0, 0, 0)
    c.paint(square, np.where(dark[..., None], ink, 255).astype(np.uint8))


def _pixel_art(c: _Canvas, box: _Box) -> None:
    """Symmetrical figures of large pixels, one or a field of them."""
    count, n, palette = c.pick((1, 1, 2, 4)), c.whole(4, 10), c.palette
    for place in box.inset(c.unit).grid(count, count, c.unit):
        colours = (palette.ground, palette.ground, c.accent(), c.accent(), palette.ink)
        half = c.rng.integers(len(colours), size=(2 * n, n))
        c.paint(place.square(), np.array(colours, np.uint8)[np.hstack([half, half[:, ::-1]])])


_Draw = Callable[[_Canvas, _Box], None]
_SCENES: tuple[_Draw, ...] = (  # repeated as often as they are more frequent than others
    *(_web_page,) * 6, *(_document,) * 5, *(_window,) * 6, *(_plot,) * 4, *(_logo,) * 3,
    *(_slide,) * 3, *(_diagram,) * 2, *(_cards,) * 3, *(_desktop,) * 2, *(_icons,) * 2,
    *(_map,) * 2, _article, _code, _messages, _table, _bands, _matrix_code, _pixel_art,
)  # fmt: skip
