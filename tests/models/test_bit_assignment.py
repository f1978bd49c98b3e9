"""Streams with and without cells that stop early, of a published model and of a toy."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from thumbstream.codec.base import Codec
from thumbstream.codec.bitstream import write_header
from thumbstream.codec.prefix_search import Target
from thumbstream_models import cli
from thumbstream_models.paper import bit_assignment

PICTURE = np.full((32, 32, 3), 100, np.uint8)
LENGTH = 60


class Toy:
    """Each byte reduces the error by one; with a target, half of the bytes suffice."""

    def encode(self, pixels: NDArray[np.uint8], *, target: Target | None = None) -> bytes:
        if target is None:
            return write_header(0, 32, 32) + bytes(LENGTH - 1)
        return write_header(0, 32, 32) + b"\1" * 9

    def decode(self, stream: bytes) -> NDArray[np.uint8]:
        length = 2 * len(stream) if stream[1:2] == b"\1" else len(stream)
        return PICTURE + np.uint8(LENGTH + 1 - length)

    def decode_prefixes(self, stream: bytes, lengths: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        return (self.decode(stream[:n]) for n in lengths)


def toy() -> Codec:
    codec: Codec = Toy()  # type: ignore[assignment]  # only what is used
    return codec


def decibels(error: int) -> float:
    return 20 * math.log10(255 / error)


def test_means_are_over_pictures_that_reach_the_target() -> None:
    target = Target("psnr", decibels(LENGTH + 1 - 20))
    [row] = bit_assignment.compare(toy(), [PICTURE, PICTURE], [target])
    assert (row.pictures, row.plain_bytes, row.bytes) == (2, 20, 10)
    assert row.plain_psnr == pytest.approx(row.psnr)
    [far] = bit_assignment.compare(toy(), [PICTURE], [Target("psnr", 99.0)])
    assert far.pictures == 0
    assert math.isnan(far.bytes)


def test_target_in_bytes_compares_quality() -> None:
    [row] = bit_assignment.compare(toy(), [PICTURE], [Target("bytes", 10)])
    assert (row.plain_bytes, row.bytes) == (10, 10)
    assert row.plain_psnr == pytest.approx(decibels(LENGTH + 1 - 10))
    assert row.psnr == pytest.approx(decibels(LENGTH + 1 - 20))
    assert bit_assignment.table([row]).splitlines()[2].startswith("| bytes:10 | 1 | 10.0 | 10.0 |")


def test_bit_assignment_command(picture_folder: object, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "bit-assignment",
        "conv-lstm-1",
        str(picture_folder),
        "--size",
        "16",
        "--limit",
        "1",
    ]
    assert cli.main([*arguments, "--targets", "psnr:12,bytes:24"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["psnr:12", "bytes:24"]
    with pytest.raises(SystemExit):
        cli.main([*arguments, "--targets", "sharpness:3"])
