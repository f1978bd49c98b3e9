"""Pictures to upload: synthetic photographs, or the user's own."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

VARIANTS = 4
"""Different pictures of each kind; from the second time on their streams are already stored."""
SIZES = {"1 megapixel JPEG": (1200, 840), "12 megapixel JPEG": (4000, 3000)}
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".avif"}
_MOST = 64


def synthetic(width: int, height: int, seed: int) -> bytes:
    """Draw a JPEG with shapes of several sizes and sensor noise, as a photograph has them."""
    rng = np.random.default_rng(seed)
    picture = Image.new("RGB", (width, height))
    for side, weight in ((3, 1.0), (12, 0.4), (48, 0.25), (192, 0.15)):
        shapes = Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8))
        grown = shapes.resize((width, height), Image.Resampling.BILINEAR)
        picture = Image.blend(picture, grown, weight)
    noise = Image.effect_noise((width, height), 64).convert("RGB")
    buffer = io.BytesIO()
    Image.blend(picture, noise, 0.08).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def tiny(seed: int) -> bytes:
    """Draw a PNG of a few pixels that no other seed has: the least work that an upload can be."""
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((48, 32), Image.Resampling.BILINEAR).save(buffer, "PNG")
    return buffer.getvalue()


def kinds(folder: Path | None) -> dict[str, list[bytes]]:
    """What to upload, by a name to print; the pictures of ``folder`` too, if one is given."""
    out = {
        name: [synthetic(*size, seed) for seed in range(VARIANTS)] for name, size in SIZES.items()
    }
    if folder is not None:
        paths = [p for p in sorted(folder.rglob("*")) if p.suffix.lower() in SUFFIXES][:_MOST]
        if not paths:
            raise SystemExit(f"no pictures in {folder}")
        out[f"pictures of {folder.name}"] = [path.read_bytes() for path in paths]
    return out
