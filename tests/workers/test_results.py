"""Answers of workers: trees of expected classes, and nothing else."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from thumbstream.bulk.encode_files import RESULTS as BULK_RESULTS
from thumbstream.bulk.encode_files import Outcome
from thumbstream.bulk.journal import EncodedFile, FileResult
from thumbstream.bulk.scan import FileInfo
from thumbstream.codec.rate_curve import RateCurve
from thumbstream.encoding import EncodedThumbnail
from thumbstream.errors import InvalidImageError
from thumbstream.jobs import RESULTS, Encoded
from thumbstream.results import ERRORS, dumps, loads

CLASSES = ERRORS | set(RESULTS) | set(BULK_RESULTS)
CURVE = RateCurve((4, 8), (0.5, 0.75), (20.0, 25.5))
THUMBNAIL = EncodedThumbnail(b"stream", CURVE, 640, 480, 32, 24, False, False, True)
FILE = FileResult(FileInfo("a.jpg", 5, 1 << 60), EncodedFile("id", 70, 640, 480, b"x" * 32, False))


@pytest.mark.parametrize(
    "result",
    [
        None,
        -(1 << 40),
        b"x" * 100_000,
        Encoded(THUMBNAIL, 0.5, 0.25),
        [Outcome(FILE, {"id": b"x", "id.curve": b"y"}), Outcome(FILE)],
        (b"pixels", (2, 3, 3), 640, 480, True),
    ],
)
def test_results_stay_the_same(result: Any) -> None:
    assert loads(dumps((True, result)), CLASSES) == (True, result)


@pytest.mark.parametrize(
    "error", [InvalidImageError("broken"), FileNotFoundError(2, "none", "a"), RuntimeError("bug")]
)
def test_errors_stay_the_same(error: Exception) -> None:
    succeeded, received = loads(dumps((False, error)), CLASSES)
    assert (succeeded, type(received), str(received)) == (False, type(error), str(error))


def pickled(instructions: bytes) -> bytes:
    return b"\x80\x04\x88" + instructions + b"\x86."


def name(module: str, attribute: str) -> bytes:
    parts = (module.encode(), attribute.encode())
    return b"".join(b"\x8c" + bytes([len(part)]) + part for part in parts) + b"\x93"


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"x",
        pickle.dumps((True, print)),
        pickled(name("os", "system") + b"\x8c\x04true\x85R"),
        pickled(name("thumbstream.jobs", "Encoded.__init__") + b")R"),
        pickled(name("thumbstream.jobs", "time") + b")R"),
        pickled(name("thumbstream.bulk.scan", "FileInfo") + b"N}\x8c\x01aK\x01s\x86b"),  # BUILD
        pickled(b"cos\nsystem\n"),  # GLOBAL
        pickled(b"Nr\xff\xff\xff\x0f"),  # LONG_BINPUT: a memo of gigabytes
        pickled(b")" + b"2\x86" * 60),  # DUP: an object of 2 ** 60 parts
        pickled(b"\x8c\x05" + b"short")[:-4],
        pickled(name("thumbstream.jobs", "Encoded") + b")R"),  # too few arguments
        dumps((False, "no exception")),
        b"\x80\x04\x88NN\x87.",  # three parts
    ],
)
def test_anything_else_is_an_error(message: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        loads(message, CLASSES)
