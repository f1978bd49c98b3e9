"""thumbstream as a codec to measure: prefixes of real streams, decoded."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.bitstream import parse_header
from thumbstream.models import DEFAULT_MODEL, installed_models
from thumbstream_models.evaluate.baselines import Coding
from thumbstream_models.evaluate.baselines.base import package_versions

OURS = "thumbstream"
"""Title of the default model; other models have their id as title."""


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
            yield Coding(n - header, n, decoded, raw_bits(codec.inspect(stream[:n])))


def raw_bits(facts: Mapping[str, Any]) -> int:
    """Bits of the symbols of a prefix if all values were equally likely.

    ``facts``: what `Codec.inspect` returns. Binary codes take one bit, ternary digits log2(3).
    """
    return int(facts["codes"]) if "codes" in facts else round(facts["symbols"] * math.log2(3))


def runtime(device: str) -> dict[str, str]:
    """ONNX Runtime's version and the execution providers in use."""
    names = {str(found.name) for found in metadata.distributions()}
    package = "onnxruntime-gpu" if "onnxruntime-gpu" in names else "onnxruntime"
    providers = installed_models(device).load().providers
    return {**package_versions(package), "providers": " ".join(providers)}
