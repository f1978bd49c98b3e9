"""The interface of a codec to measure: every useful way of coding one picture.

A codec yields `Coding`s with their bytes. The measurement (`measure`) picks those that fit a
budget, so only the largest budget matters to a codec.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any, ClassVar, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

Setting: TypeAlias = dict[str, Any]

_OVERSHOOT = 1.5


@dataclass(frozen=True, slots=True)
class Coding:
    """One way of coding one picture."""

    payload: int
    """Bytes without headers, as defined by `Codec.counted`."""
    file: int
    """Bytes of the file."""
    pixels: NDArray[np.uint8]
    """The decoded picture, ``(H, W, 3)`` RGB."""
    codes: int = 0
    """Binary codes that the payload determines, for codecs with binary codes."""


class Codec(Protocol):
    """A codec to measure; picklable, because it is sent to worker processes."""

    @property
    def name(self) -> str:
        """Key in results, as in ``jpeg2000``."""

    @property
    def title(self) -> str:
        """Name in tables, as in ``JPEG 2000``."""

    @property
    def kind(self) -> str:
        """``model`` for thumbstream's models, otherwise ``baseline``."""

    @property
    def counted(self) -> str:
        """The settings searched, and the bytes that are the payload."""

    @property
    def progressive(self) -> bool:
        """True if a budget is spent on the longest prefix that fits, not on the best coding."""

    def versions(self) -> Mapping[str, str]:
        """Versions or hashes of everything that `codings` depends on, except its source code."""

    def codings(self, pixels: NDArray[np.uint8], budgets: Sequence[int]) -> Iterator[Coding]:
        """Code ``pixels`` ``(H, W, 3)``; codings that exceed all budgets may be omitted."""


def package_versions(*packages: str) -> dict[str, str]:
    """Installed versions by the name of the package."""
    return {package: metadata.version(package) for package in packages}


class FileCodec(ABC):
    """A still-picture format: settings tried one after the other.

    Settings come in series of growing quality. A series ends once a payload is `_OVERSHOOT` times
    the largest budget: the following ones do not fit either.
    """

    name: str
    title: str
    counted: str
    kind = "baseline"
    progressive = False

    @abstractmethod
    def versions(self) -> Mapping[str, str]:
        """Versions of the libraries that write and read the format."""

    @abstractmethod
    def series(self, pixels: NDArray[np.uint8], limit: int) -> Iterator[Iterator[Setting]]:
        """Settings by growing quality, in several series."""

    @abstractmethod
    def encode(self, pixels: NDArray[np.uint8], setting: Setting) -> bytes:
        """A complete file of ``(H, W, 3)`` RGB."""

    @abstractmethod
    def payload(self, data: bytes, setting: Setting) -> int:
        """Bytes of the file ``data`` without headers."""

    def decode(self, data: bytes) -> NDArray[np.uint8]:
        """``(H, W, 3)`` RGB of a file, decoded by Pillow."""
        with Image.open(io.BytesIO(data)) as decoded:
            return np.asarray(decoded.convert("RGB"))

    def codings(self, pixels: NDArray[np.uint8], budgets: Sequence[int]) -> Iterator[Coding]:
        """Yield every distinct file whose payload fits the largest budget."""
        limit = max(budgets)
        seen: set[bytes] = set()
        for series in self.series(pixels, limit):
            for setting in series:
                data = self.encode(pixels, setting)
                payload = self.payload(data, setting)
                if payload > _OVERSHOOT * limit:
                    break
                if payload <= limit and data not in seen:
                    seen.add(data)
                    yield Coding(payload, len(data), self.decode(data))


class PillowCodec(FileCodec):
    """A format that Pillow writes: settings are keyword arguments of `PIL.Image.Image.save`."""

    format: str
    library: ClassVar[tuple[str, str]]
    """Name of the library that Pillow uses, and its name in `PIL.features`."""

    def versions(self) -> Mapping[str, str]:
        """Pillow and the library that it uses."""
        name, feature = self.library
        return {**package_versions("pillow"), name: features.version(feature) or "unknown"}

    def encode(self, pixels: NDArray[np.uint8], setting: Setting) -> bytes:
        """Write a file with Pillow."""
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, self.format, **setting)
        return buffer.getvalue()
