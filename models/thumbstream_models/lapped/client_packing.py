"""Compresses numbers to a small zlib stream, which browsers decompress.

Weights have no repetitions, so each kind of number has its own Huffman code. Adjacent sections
share a code if that takes fewer bytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_STRATEGIES = (zlib.Z_HUFFMAN_ONLY, zlib.Z_DEFAULT_STRATEGY, zlib.Z_RLE, zlib.Z_FILTERED)
_RAW = -15
_MEMORY = 9
_ZLIB_HEADER = b"\x78\xda"
_LAST_BLOCK = b"\x03\x00"
"""An empty final block."""
_WIDE_BYTES = 3


@dataclass(frozen=True, slots=True)
class Section:
    """Bytes of one kind."""

    data: bytes


def packed(sections: Iterable[Section]) -> bytes:
    """A zlib stream of all ``sections`` in order."""
    contents = [section.data for section in sections if section.data]
    parts: list[tuple[bytes, bytes]] = []  # bytes, and the same compressed
    for data in contents:
        parts.append((data, _deflated(data)))
        while len(parts) > 1:
            (first, a), (second, b) = parts[-2:]
            together = _deflated(first + second)
            if len(together) >= len(a) + len(b):
                break
            parts[-2:] = [(first + second, together)]
    check = zlib.adler32(b"".join(contents)).to_bytes(4, "big")
    return _ZLIB_HEADER + b"".join(part for _, part in parts) + _LAST_BLOCK + check


def integers(table: NDArray[np.generic]) -> bytes:
    """Integers of 8 bits."""
    return np.ascontiguousarray(table).astype(np.int8, casting="safe").tobytes()


def wide(table: NDArray[np.generic]) -> Iterator[Section]:
    """Integers of up to 24 bits: sign in the lowest bit; all low bytes first, then the others.

    Raises `ValueError` for larger integers.
    """
    values = table.astype(np.int64).reshape(-1)
    coded = np.where(values < 0, -2 * values - 1, 2 * values)
    if (coded >= 1 << 8 * _WIDE_BYTES).any():
        raise ValueError("a table holds integers of more than 24 bits")
    for place in range(_WIDE_BYTES):
        yield Section((coded >> 8 * place & 0xFF).astype(np.uint8).tobytes())


def halves(values: NDArray[np.float16]) -> Iterator[Section]:
    """float16: all low bytes, then all high bytes."""
    planes = values.astype("<f2").view(np.uint8).reshape(-1, 2)
    yield from (Section(planes[:, i].tobytes()) for i in range(2))


def _deflated(data: bytes) -> bytes:
    """Complete deflate blocks, none of them marked as the last."""
    return min((_with(data, strategy) for strategy in _STRATEGIES), key=len)


def _with(data: bytes, strategy: int) -> bytes:
    coder = zlib.compressobj(9, zlib.DEFLATED, _RAW, _MEMORY, strategy)
    return coder.compress(data) + coder.flush(zlib.Z_SYNC_FLUSH)
