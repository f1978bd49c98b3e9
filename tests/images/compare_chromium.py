"""Compare thumbnails with what Chromium draws, over generated files of every format it reads.

    PYTHONPATH=service python tests/images/compare_chromium.py [--all] [--keep FOLDER] [PATTERN]

Chromium draws each file on a canvas at full size, and that is reduced to the grid like any other
picture. A file that Chromium refuses may be read here. Two kinds are left out: Chromium
does not follow EXIF in WebP, and reads the alpha plane and the animations of the AVIF files that
Pillow writes as if their range was limited. Prints the files that differ, and exits with 1 if there
are any. Needs Playwright and a
Chromium (CHROMIUM in the environment, else /usr/bin/chromium).
"""

from __future__ import annotations

import argparse
import base64
import fnmatch
import os
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from picture_files import File, files
from PIL import Image

from thumbstream.errors import IngestError
from thumbstream.images import reduce_to_grid, thumbnail

SIZE = 32
MEAN_TOLERANCE = 2.5
"""Mean difference of all samples, premultiplied, in levels of 255."""
MAX_TOLERANCE = 24
"""Greatest difference of one sample: at edges the order of reduction and conversion shows."""

MEDIA_TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "avif": "image/avif",
    "bmp": "image/bmp",
}

DRAW = """async url => {
    const image = new Image();
    image.src = url;
    try { await image.decode(); } catch (error) { if (!image.naturalWidth) return null; }
    const canvas = document.createElement("canvas");
    canvas.width = image.naturalWidth;
    canvas.height = image.naturalHeight;
    const context = canvas.getContext("2d", {colorSpace: "srgb", willReadFrequently: true});
    context.drawImage(image, 0, 0);
    const data = context.getImageData(0, 0, canvas.width, canvas.height).data;
    let text = "";
    for (let at = 0; at < data.length; at += 8192)
        text += String.fromCharCode(...data.subarray(at, at + 8192));
    return [canvas.width, canvas.height, btoa(text)];
}"""


class Chromium:
    """Draws picture files on a canvas. A context manager."""

    def __enter__(self) -> Chromium:
        from playwright.sync_api import sync_playwright

        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"),
            args=["--no-sandbox", "--force-color-profile=srgb"],
        )
        self._page = self._browser.new_page()
        self._page.goto("about:blank")
        return self

    def __exit__(self, *_: object) -> None:
        self._browser.close()
        self._playwright.stop()

    def draw(self, file: File) -> NDArray[np.uint8] | None:
        """(H, W, 4) with straight alpha; None if Chromium cannot decode the file."""
        media_type = MEDIA_TYPES[file.name.rpartition(".")[2]]
        encoded = base64.b64encode(file.data).decode()
        drawn = self._page.evaluate(DRAW, f"data:{media_type};base64,{encoded}")
        if drawn is None:
            return None
        width, height, text = drawn
        return np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)


def difference(file: File, drawn: NDArray[np.uint8] | None) -> str:
    """How the thumbnail of ``file`` differs from ``drawn``; empty if it does not."""
    try:
        ours = thumbnail(file.data, SIZE, alpha=True)
    except IngestError as error:
        return "" if drawn is None else f"refused: {error}"
    if drawn is None:
        return ""
    if (ours.height, ours.width) != drawn.shape[:2]:
        return f"{ours.width} x {ours.height} instead of {drawn.shape[1]} x {drawn.shape[0]}"
    theirs = reduce_to_grid(Image.fromarray(drawn), SIZE, alpha=True)
    gap = np.abs(premultiplied(ours.pixels) - premultiplied(theirs.pixels))
    if (file.name.endswith(".jpg") or "cut-" in file.name) and theirs.pixels.shape[2] == 4:
        gap = gap[theirs.pixels[..., 3] == 255]  # rows after a cut are not drawn there
    if gap.mean() <= MEAN_TOLERANCE and gap.max() <= MAX_TOLERANCE:
        return ""
    points = [(slice_y, slice_x) for slice_y in (0.25, 0.75) for slice_x in (0.25, 0.75)]

    def sampled(pixels: NDArray[np.uint8]) -> list[list[int]]:
        return [pixels[int(len(pixels) * y), int(pixels.shape[1] * x)].tolist() for y, x in points]

    return (
        f"mean {gap.mean():.1f}, max {gap.max():.0f}: "
        f"{sampled(ours.pixels)} instead of {sampled(theirs.pixels)}"
    )


def premultiplied(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(H, W, 4) in levels of 255."""
    if pixels.shape[2] == 3:
        pixels = np.dstack([pixels, np.full_like(pixels[..., 0], 255)])
    alpha = pixels[..., 3:] / 255.0
    return np.concatenate([pixels[..., :3] * alpha, 255 * alpha], axis=-1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pattern", nargs="?", default="*", help="names of files, e.g. '*.gif'")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="write the files there")
    chosen = parser.parse_args()
    compared = refused = different = 0
    with Chromium() as chromium:
        for file in files():
            if not fnmatch.fnmatch(file.name, chosen.pattern):
                continue
            if chosen.keep is not None:
                chosen.keep.mkdir(parents=True, exist_ok=True)
                (chosen.keep / file.name).write_bytes(file.data)
            drawn = chromium.draw(file)
            compared += 1
            refused += drawn is None
            found = difference(file, drawn)
            if found:
                different += 1
                print(f"{file.name}: {found}")
    print(f"{compared} files, {refused} that Chromium refuses, {different} that differ")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
