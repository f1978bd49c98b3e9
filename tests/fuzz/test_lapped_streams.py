"""The invariant for the lapped family: any bytes give an image or a `BitstreamError`.

A few seconds of it run with the tests. Millions of streams, of a published model::

    python tests/fuzz/test_lapped_streams.py --model NAME --streams 10000000

Every stream is read to the last symbol that it determines; one in `DECODE_EVERY` is decoded to
pixels, too. Prints the number of images and errors, the time of the slowest and the growth of
memory; for a failure, the bytes and the seed.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "codec"))  # as a program, too

from codec_lapped import lapped_folder
from fuzz_mutations import MUTATIONS

from thumbstream.codec.base import Codec, open_codec
from thumbstream.codec.bitstream import parse_header, write_header
from thumbstream.codec.lapped.params import AXES
from thumbstream.errors import BitstreamError
from thumbstream.models import installed_models

PUBLISHED = [
    name
    for name in installed_models().installed
    if installed_models().manifest(name)["family"] == "lapped"
]
STREAMS = 3000
"""Streams that a run of the tests tries."""
DECODE_EVERY = 32
"""One stream in this many is decoded to pixels: the network is the same for all."""
LARGEST = 64
"""Pixels of the longest side; the largest pictures have a test of their own."""
MAX_SECONDS = 60
"""For one stream of the largest size: far above what it takes; more counts as endless."""
MAX_BYTES_OF_MEMORY = 128 << 20
"""Above what the model holds, that Python and numpy may take for 256 x 256 pixels with alpha."""


@dataclass
class Counts:
    """Results over all streams."""

    images: int = 0
    errors: int = 0
    slowest: float = 0.0
    """Seconds."""
    slowest_stream: bytes = b""
    kinds: set[tuple[str, bool]] = field(default_factory=set)
    """Ways of spoiling, and whether an image came of it."""

    def count(self, name: str, stream: bytes, image: bool, seconds: float) -> None:
        self.images += image
        self.errors += not image
        self.kinds.add((name, image))
        if seconds > self.slowest:
            self.slowest, self.slowest_stream = seconds, stream


def check(codec: Codec, stream: bytes, *, draw: bool) -> bool:
    """Read, and on request draw, a stream; returns whether it was an image. All else raises."""
    try:
        header = parse_header(stream)
        readable = header.bitstream_id in (None, codec.bitstream_id)
    except BitstreamError:
        readable = False
    try:
        facts = codec.inspect(stream)
    except BitstreamError:
        assert not readable
        if draw:
            with pytest.raises(BitstreamError):
                codec.decode(stream)
        return False
    assert readable
    most = (1 + header.alpha) * facts["cells"] * codec.manifest["planes"]
    most *= sum(codec.manifest["groups"])  # every latent has far fewer planes
    assert 0 <= facts["symbols"] < most
    assert 0 <= facts["axis"] < AXES
    assert facts["axis"] == 0 or len(stream) > header.length
    assert 0 <= facts["planes"] <= codec.manifest["planes"]
    assert (facts["step"] is None) == (facts["planes"] == codec.manifest["planes"])
    if draw:
        x_hat = codec.decode(stream)
        assert x_hat.dtype == np.uint8
        assert x_hat.shape == (header.height, header.width, 3 + header.alpha)
    return True


def spoilt_streams(codec: Codec, seed: int) -> Iterator[tuple[str, bytes]]:
    """Streams of pictures of all shapes up to `LARGEST`, spoilt in every way; never ends."""
    rng = random.Random(seed)
    pixels = np.random.default_rng(seed)
    valid: list[bytes] = []
    names = list(MUTATIONS)
    while True:
        if len(valid) < 64 or not rng.randrange(5000):
            valid = [*valid[-63:], _valid(codec, rng, pixels)]
        name = rng.choice(names)
        stream = MUTATIONS[name](rng, bytearray(rng.choice(valid)))
        if rng.random() < 0.3:  # the bytes as they are behind another header
            name, stream = "another header", _header(codec, rng) + stream[3:]
        if is_small(stream):
            yield name, stream


def _valid(codec: Codec, rng: random.Random, pixels: np.random.Generator) -> bytes:
    """Of a picture between noise and one colour, cut where previews are cut."""
    header = parse_header(_header(codec, rng))
    shape = header.height, header.width, 3 + header.alpha
    noise = pixels.integers(0, 256, shape).astype(np.uint8)
    noise //= rng.choice((1, 1, 4, 64, 255))
    stream = codec.encode(noise)
    return stream[: rng.choice((8, 16, 24, 32, 64, 128, len(stream)))]


def _header(codec: Codec, rng: random.Random) -> bytes:
    long = 8 * rng.choice((1, 1, 1, 1, 1, 2, 2, 4, 4, rng.randint(1, LARGEST // 8)))
    sides = (long, rng.randint(1, long))
    alpha = rng.random() < 0.3
    return write_header(codec.bitstream_id, *rng.choice((sides, sides[::-1])), alpha=alpha)


def is_small(stream: bytes) -> bool:
    """Whether the picture is at most `LARGEST`, or the header is invalid."""
    try:
        header = parse_header(stream)
    except BitstreamError:
        return True
    return max(header.width, header.height) <= LARGEST


def run(codec: Codec, seed: int, streams: int, seconds: float) -> Counts:
    """Check ``streams`` streams, or as many as fit into ``seconds``."""
    tally, end = Counts(), time.monotonic() + seconds
    for i, (name, stream) in enumerate(spoilt_streams(codec, seed)):
        begin = time.monotonic()
        if i >= streams or begin > end:
            break
        try:
            image = check(codec, stream, draw=i % DECODE_EVERY == 0)
        except BaseException:
            print(f"seed {seed}, {name}: {stream.hex()}", file=sys.stderr)
            raise
        tally.count(name, stream, image, time.monotonic() - begin)
    return tally


@pytest.fixture(scope="module", params=["small", *PUBLISHED])
def codec(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Codec:
    if request.param == "small":
        return open_codec(lapped_folder(tmp_path_factory.mktemp("small")), device="cpu")
    return installed_models("cpu").load(request.param)


def test_spoilt_streams(codec: Codec) -> None:
    tally = run(codec, 20240611, STREAMS, MAX_SECONDS)
    assert tally.images + tally.errors == STREAMS
    always = {(name, True) for name in (*MUTATIONS, "another header")}
    assert always <= tally.kinds
    assert {("random", False), ("shifted", False), ("backwards", False)} <= tally.kinds


def test_every_first_byte(codec: Codec) -> None:
    for first in range(256):
        image = check(codec, bytes([first]), draw=True)
        assert image == (0x3F <= first < 0x96 or (first >= 0xA0 and first != 0xA3))


@pytest.mark.parametrize(
    ("first", "codes"), [(0xA0, 15), (0xC0, 15), (0xC3, 87), (0xAF, 255), (0xD0, 256), (0xE0, 0)]
)
def test_every_second_byte_of_a_long_header(codec: Codec, first: int, codes: int) -> None:
    for second in range(256):
        assert check(codec, bytes([first, second]), draw=True) == (second < codes)


def test_the_largest_stream_is_bounded_in_time_and_memory(codec: Codec) -> None:
    """Three bytes of header may ask for 65,536 pixels with alpha, and no payload for more."""
    header = write_header(codec.bitstream_id, 256, 256, alpha=True)
    codec.decode(header)  # what is made once and kept is not counted
    for payload in (random.Random(1).randbytes(1 << 20), bytes(1 << 20), b"\xff" * (1 << 20)):
        tracemalloc.start()
        try:
            begin = time.monotonic()
            x_hat = codec.decode(header + payload)
            assert time.monotonic() - begin < MAX_SECONDS
            assert tracemalloc.get_traced_memory()[1] < MAX_BYTES_OF_MEMORY
        finally:
            tracemalloc.stop()
        assert x_hat.shape == (256, 256, 4)


def test_a_tail_costs_nothing(codec: Codec) -> None:
    """Ten megabytes behind the end of a stream are not even looked at."""
    stream = codec.encode(np.full((8, 8, 3), 90, np.uint8))
    begin = time.monotonic()
    found = codec.decode(stream + bytes(10 << 20))
    assert time.monotonic() - begin < 1
    np.testing.assert_array_equal(found, codec.decode(stream))


def main() -> int:
    parser = argparse.ArgumentParser(description="Decode corrupted streams of the lapped family.")
    parser.add_argument(
        "--model", choices=PUBLISHED, help="a published model (default: a small one)"
    )
    parser.add_argument("--streams", type=int, default=10**9, help="stop after this number")
    parser.add_argument("--seconds", type=float, default=10.0**9, help="stop after this time")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        small = lapped_folder(Path(folder)) if args.model is None else None
        codec = installed_models("cpu").load(args.model) if small is None else open_codec(small)
        run(codec, args.seed, 2000, 60)  # what is made once and kept
        before, begin = peak_memory(), time.monotonic()
        tally = run(codec, args.seed + 1, args.streams, args.seconds)
    count = tally.images + tally.errors
    print(
        f"seed {args.seed}, {codec.model_id}: {count} streams in {time.monotonic() - begin:.0f} s"
    )
    print(f"{tally.images} images, {tally.errors} errors, nothing else")
    print(f"slowest: {tally.slowest * 1e3:.1f} ms, {len(tally.slowest_stream)} bytes", end=" ")
    print(tally.slowest_stream.hex())
    print(f"memory: {(peak_memory() - before) / 2**20:.1f} MiB more than after the first streams")
    return 0


def peak_memory() -> int:
    """Bytes that the process has held at most."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    sys.exit(main())
