"""Makes what this repository shows of its photographs, with the default model.

    python docs/photographs/make.py

writes the streams of the landing page (``web/samples.generated.js``) and the strips at the top of
the README (``strip-light.webp`` and ``strip-dark.webp``). Run it again after a change of the codec
or of the default model. The photographs and their sources are in ``web/samples``.
"""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

import thumbstream
from thumbstream_models.evaluate.baselines import thumbhash

HERE = Path(__file__).resolve().parent
WEB = HERE.parents[1] / "service" / "thumbstream" / "web"
STREAMS = WEB / "samples.generated.js"

PHOTOGRAPHS = {  # name to the text for screen readers; the first one is shown first
    "coffee": "An espresso in a red cup on a wooden table",
    "cat": "The face of a tabby cat",
    "astronaut": "An astronaut in an orange suit, with a model of the Space Shuttle",
    "rocket": "A rocket on its launch pad at dusk",
}
GRID = 32  # pixels, long side

BYTES = (12, 24, 64, 128)  # columns of thumbstream
CELL = 256  # pixels; shown at half the size
GAP = 16
HEAD = 88
SCHEMES = {"light": ("#ffffff", "#1c1b19", "#66635c"), "dark": ("#0d1117", "#edebe6", "#a29f97")}
"""Background, names and byte counts: GitHub's own backgrounds."""
STRIP_QUALITY = 88


def write_streams() -> None:
    """Write the streams of the photographs as a module of the landing page."""
    entries = []
    for name, description in PHOTOGRAPHS.items():
        path = WEB / "samples" / f"{name}.jpg"
        with Image.open(path) as photograph:
            width, height = photograph.size
        stream = thumbstream.encode(path, size=GRID)
        entries.append(
            {
                "name": name,
                "alt": description,
                "bytes": path.stat().st_size,
                "width": width,
                "height": height,
                "stream": base64.b64encode(stream).decode(),
            }
        )
    lines = ",\n".join(f"  {json.dumps(entry)}" for entry in entries)
    STREAMS.write_text(
        "/** The photographs in samples/ with their streams, by docs/photographs/make.py. */\n\n"
        f"export default [\n{lines},\n];\n"
    )


def square_of(name: str) -> Image.Image:
    """The central square of a photograph."""
    with Image.open(WEB / "samples" / f"{name}.jpg") as photograph:
        side = min(photograph.size)
        left, top = ((length - side) // 2 for length in photograph.size)
        return photograph.convert("RGB").crop((left, top, left + side, top + side))


def smallest_webp(grid: Image.Image) -> tuple[Image.Image, int]:
    """The WebP file of the lowest quality, decoded, and its bytes."""
    file = io.BytesIO()
    grid.save(file, "WEBP", quality=0, method=6)
    return Image.open(file).convert("RGB"), file.tell()


def row_of(name: str) -> list[tuple[str, int, Image.Image]]:
    """``(codec, bytes, picture)`` of each column; the original has 0 bytes."""
    square = square_of(name)
    grid = square.resize((GRID, GRID), Image.Resampling.LANCZOS)
    hashed = thumbhash.encode(pixels_of(square.resize((100, 100), Image.Resampling.LANCZOS)))
    webp, webp_bytes = smallest_webp(grid)
    stream = thumbstream.encode(square, size=GRID)
    return [
        ("Original", 0, square),
        ("ThumbHash", len(hashed), Image.fromarray(thumbhash.decode(hashed, GRID, GRID))),
        ("WebP", webp_bytes, webp),
        *(
            ("thumbstream", count, Image.fromarray(thumbstream.decode(stream[:count])))
            for count in BYTES
        ),
    ]


def pixels_of(image: Image.Image) -> NDArray[np.uint8]:
    """``(H, W, 3)`` uint8."""
    return np.asarray(image, np.uint8)


def strip(rows: list[list[tuple[str, int, Image.Image]]], scheme: str) -> Image.Image:
    """All photographs, a row each, with the names and bytes of the columns."""
    background, ink, soft = SCHEMES[scheme]
    step = CELL + GAP
    size = (len(rows[0]) * step - GAP, HEAD + len(rows) * step - GAP)
    image = Image.new("RGB", size, background)
    pen = ImageDraw.Draw(image)
    for column, cells in enumerate(zip(*rows, strict=True)):
        left = column * step
        pen.text((left, 0), cells[0][0], fill=ink, font=ImageFont.load_default(32))
        pen.text((left, 42), bytes_text(cells), fill=soft, font=ImageFont.load_default(28))
        for row, (_, _, cell) in enumerate(cells):
            enlarged = cell.resize((CELL, CELL), Image.Resampling.BICUBIC)
            image.paste(enlarged, (left, HEAD + row * step))
    return image


def bytes_text(cells: tuple[tuple[str, int, Image.Image], ...]) -> str:
    """The bytes of a column: one number, or the least and the most."""
    least, most = min(count for _, count, _ in cells), max(count for _, count, _ in cells)
    if most == 0:
        return ""
    return f"{least} bytes" if least == most else f"{least} to {most} bytes"


def main() -> None:
    """Write all files."""
    write_streams()
    rows = [row_of(name) for name in PHOTOGRAPHS]
    for scheme in SCHEMES:
        path = HERE / f"strip-{scheme}.webp"
        strip(rows, scheme).save(path, "WEBP", quality=STRIP_QUALITY, method=6)


if __name__ == "__main__":
    main()
