"""thumbstream as a codec to measure: prefixes of real streams, decoded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from thumbstream.codec.bitstream import parse_header
from thumbstream.models import DEFAULT_MODEL, installed_models
from thumbstream_models.evaluate.baselines import Coding
from thumbstream_models.evaluate.baselines.base import package_versions

OURS = "thumbstream"
"""Title of the default model; other models have their id as title."""
HALF = "half"


@dataclass(frozen=True, slots=True)
class Thumbstream:
    """Prefixes of one stream per picture, by an installed model."""

    name: str = DEFAULT_MODEL
    """Id of the model."""
    device: str = "auto"
    counted: str = (
        "One stream per picture; at each budget the prefix of that length. Payload: all bytes but "
        "those of the header, one to three."
    )
    kind: str = "model"
    progressive: bool = True

    @property
    def title(self) -> str:
        """Name in tables."""
        return OURS if self.name == DEFAULT_MODEL else self.name

    def versions(self) -> Mapping[str, str]:
        """Hashes of the model's files, and the runtime with its providers."""
        files: dict[str, dict[str, str]] = installed_models().manifest(self.name)["files"]
        hashes = {f"{self.name}/{name}": file["sha256"] for name, file in files.items()}
        return {**runtime(self.device), **hashes}

    def codings(self, pixels: NDArray[np.uint8], budgets: Sequence[int]) -> Iterator[Coding]:
        """The prefixes that fit a budget with and without the header."""
        codec = installed_models(self.device).load(self.name)
        header = parse_header(codec.encode(pixels, max_bytes=3)).length
        stream = codec.encode(pixels, max_bytes=max(budgets) + header)
        cuts = {min(b + free, len(stream)) for b in budgets for free in (0, header)}
        lengths = sorted(n for n in cuts if n > header)
        for n, decoded in zip(lengths, codec.decode_prefixes(stream, lengths), strict=True):
            codes = codec.inspect(stream[:n]).get("codes", 0)
            yield Coding(n - header, n, decoded, codes)


@dataclass(frozen=True, slots=True)
class HalfSize:
    """The default model at half the size, enlarged: what a larger grid must be better than."""

    name: str = HALF
    title: str = "thumbstream at half the size, enlarged"
    kind: str = "baseline"
    progressive: bool = True
    counted: str = (
        "The picture is reduced to half its size with Lanczos, and the decoded one enlarged with a "
        "bicubic filter. All bytes count."
    )
    model: Thumbstream = Thumbstream()

    def versions(self) -> Mapping[str, str]:
        """Those of the model."""
        return self.model.versions()

    def codings(self, pixels: NDArray[np.uint8], budgets: Sequence[int]) -> Iterator[Coding]:
        """The prefixes of one stream, enlarged."""
        height, width = pixels.shape[:2]
        small = max(1, round(width / 2)), max(1, round(height / 2))
        reduced = Image.fromarray(pixels).resize(small, Image.Resampling.LANCZOS)
        for coding in self.model.codings(np.asarray(reduced), budgets):
            shown = Image.fromarray(coding.pixels).resize((width, height), Image.Resampling.BICUBIC)
            yield Coding(coding.file, coding.file, np.asarray(shown))


def runtime(device: str) -> dict[str, str]:
    """ONNX Runtime's version and the execution providers in use."""
    names = {str(found.name) for found in metadata.distributions()}
    package = "onnxruntime-gpu" if "onnxruntime-gpu" in names else "onnxruntime"
    providers = installed_models(device).load().providers
    return {**package_versions(package), "providers": " ".join(providers)}
