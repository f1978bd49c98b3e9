"""Writes encode-vectors.json: streams of the encoder without networks, by the Python codec.

    PYTHONPATH=service:tests/codec python tests/web/make_encode_vectors.py

The model is that of lapped-vectors.json. `pixels` computes the pictures, and so does
encode.test.mjs.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import codec_lapped
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from thumbstream.codec.lapped.linear_codec import LinearCodec
from thumbstream.codec.model_folder import open_artifact
from thumbstream.encoding import EncodeOptions, encode_picture
from thumbstream.images import Alpha

CASES: tuple[dict[str, Any], ...] = (
    {"width": 32, "height": 32},
    {"width": 32, "height": 21, "maxBytes": 24},
    {"width": 9, "height": 32, "size": 64},
    {"width": 640, "height": 428},
    {"width": 300, "height": 451, "maxBytes": 100},
    {"width": 601, "height": 250, "maxBytes": 1},
    {"width": 40, "height": 200, "size": 8},
    {"width": 150, "height": 100, "size": 136, "maxBytes": 60},
    {"width": 32, "height": 32, "hidden": True},
    {"width": 333, "height": 222, "hidden": True, "maxBytes": 300},
    {"width": 80, "height": 90, "hidden": True, "alpha": "flatten"},
    {"width": 1, "height": 1},
)


def pixels(width: int, height: int, hidden: bool) -> NDArray[np.uint8]:
    """RGBA ``(height, width, 4)``: waves, and with ``hidden`` transparent and translucent parts."""
    y, x, c = np.mgrid[0:height, 0:width, 0:4]
    v, u = 256 * y // height, 256 * x // width
    a = np.abs((u * (c + 3) + v * 7) % 510 - 255)
    b = np.abs((x * x + y * (c + 1) * 11) % 510 - 255)
    samples = (3 * a + b) >> 2
    alpha = np.clip(np.abs((u * 9 + v * 5) % 1020 - 510) - 60, 0, 255) if hidden else 255
    return np.where(c == 3, alpha, samples).astype(np.uint8)


def stream(codec: LinearCodec, case: dict[str, Any]) -> str:
    picture = Image.fromarray(pixels(case["width"], case["height"], case.get("hidden", False)))
    options = EncodeOptions(
        case.get("size", 32), case.get("maxBytes"), alpha=Alpha(case.get("alpha", "keep"))
    )
    return encode_picture(picture, options, codec).stream.hex()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        codec = LinearCodec(open_artifact(codec_lapped.lapped_folder(Path(folder) / "tiny-lapped")))
    rows = ",\n".join(json.dumps({**case, "hex": stream(codec, case)}) for case in CASES)
    Path(__file__).with_name("encode-vectors.json").write_text(f"[\n{rows}\n]\n")
