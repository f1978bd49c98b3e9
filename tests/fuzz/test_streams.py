"""The invariant: any bytes give an image, `BitstreamError` or `UnknownModelError`.

A few seconds of it run with the tests. Longer: ``python tests/fuzz/test_streams.py --seconds 600``,
which prints the bytes of a failure and the seed that leads to it.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import tracemalloc
from collections.abc import Iterator

import fuzz_mutations
import numpy as np
import pytest
from fuzz_mutations import Mutation
from hypothesis import example, given, settings
from hypothesis import strategies as st

import thumbstream
from thumbstream.codec.base import Codec
from thumbstream.codec.bitstream import Header, parse_header, write_header
from thumbstream.models import installed_models

MAX_SIDE = 256
SMALL_STREAMS = 1500
"""Streams a run of the tests tries at one cell, where decoding costs least."""
LARGE_STREAMS = 40
MAX_SECONDS = 300
"""For one stream of the largest size: far above what it takes, to tell slow from endless."""
MAX_BYTES_OF_MEMORY = 64 << 20
"""Above what the model holds, that Python and numpy may take for a picture of 256 x 256."""


def check(stream: bytes) -> bool:
    """Decode and inspect; returns whether it was an image. Anything else raises."""
    try:
        pixels = thumbstream.decode(stream)
    except (thumbstream.BitstreamError, thumbstream.UnknownModelError) as error:
        with pytest.raises(type(error)):
            thumbstream.inspect(stream)
        return False
    header, facts = parse_header(stream), thumbstream.inspect(stream)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (header.height, header.width, 3 + header.alpha)
    assert pixels.shape == (facts["height"], facts["width"], 3 + facts["alpha"])
    assert max(pixels.shape[:2]) <= MAX_SIDE
    if "codes" in facts:
        assert 0 <= facts["codes"] <= facts["codes_per_iteration"] * facts["iterations"]
    else:
        assert facts["symbols"] >= 0
    return True


def is_published(header: Header) -> bool:
    """Whether a model here reads streams of this header."""
    if header.bitstream_id is None:
        return True
    manifests = map(installed_models().manifest, installed_models().installed)
    families = {manifest["bitstream_id"]: manifest["family"] for manifest in manifests}
    family = families.get(header.bitstream_id)
    return family == "lapped" if header.alpha else family is not None


MUTATIONS: dict[str, Mutation] = {
    **fuzz_mutations.MUTATIONS,
    "another header": lambda rng, data: small_header(rng) + bytes(data[3:]),
    "constant": lambda rng, data: small_header(rng) + bytes([rng.choice((0, 255))]) * 30,
}


def small_header(rng: random.Random) -> bytes:
    """Of a picture of one cell."""
    short = rng.randint(1, 8)
    bitstream_id = installed_models().load().bitstream_id
    return write_header(bitstream_id, *rng.choice(((8, short), (short, 8))))


def mutated_streams(seed: int) -> Iterator[tuple[str, bytes]]:
    """Streams of small pictures, spoilt in every way there is; never ends."""
    rng = random.Random(seed)
    codec = installed_models().load()
    valid: list[bytes] = []
    while True:
        if len(valid) < 8:
            side = rng.randint(1, 8)
            pixels = np.frombuffer(rng.randbytes(8 * side * 3), np.uint8).reshape(8, side, 3)
            valid.append(codec.encode(pixels))
        name = rng.choice(list(MUTATIONS))
        stream = MUTATIONS[name](rng, bytearray(rng.choice(valid)))
        if is_small(stream):
            yield name, stream


def is_small(stream: bytes) -> bool:
    """Whether its header asks for at most 2 x 2 cells, or is none."""
    try:
        header = parse_header(stream)
    except thumbstream.BitstreamError:
        return True
    return max(header.width, header.height) <= 16


def test_spoilt_streams() -> None:
    images = dict.fromkeys(MUTATIONS, 0)
    for _, (name, stream) in zip(range(SMALL_STREAMS), mutated_streams(20240611), strict=False):
        images[name] += check(stream)
    assert all(count for name, count in images.items() if name not in ("random", "backwards"))


def test_every_first_byte() -> None:
    for first in range(256):
        try:
            expected = is_published(parse_header(bytes([first])))
        except thumbstream.BitstreamError:
            expected = False
        assert check(bytes([first])) == expected
    for first in range(0x96, 0xA0):
        assert not check(bytes([first]) + bytes(20))


@pytest.mark.parametrize("first", [0xC0, 0xE0])
def test_every_second_byte_of_an_extended_header(first: int) -> None:
    for second in range(256):
        stream = bytes([first, second])
        try:
            expected = is_published(parse_header(stream))
        except thumbstream.BitstreamError:
            expected = False
        assert check(stream) == expected


def test_large_random_streams() -> None:
    rng = random.Random(7)
    for i in range(LARGE_STREAMS):
        assert check(bytes([rng.randrange(0x3F)]) + rng.randbytes(rng.choice((1, 20, 400))))
        long = 8 * rng.randint(1, 6)
        header = bytes([0xE0 | long // 8 - 1, rng.choice((0, 0x80)), rng.randrange(long)])
        check(header + rng.randbytes(i))


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=60))
@example(b"")
@example(b"\xff\x00\xff")
def test_any_bytes(stream: bytes) -> None:
    if len(stream) < 3 or is_small(stream):
        check(stream)
    else:
        check(stream[: max(3, len(stream) // 4)])


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 62), st.binary(max_size=300))
def test_any_bytes_behind_a_header(shape: int, payload: bytes) -> None:
    """Without an error: after a good header every string of bytes is a picture."""
    assert check(bytes([shape]) + payload)


@pytest.fixture(scope="module")
def codec() -> Codec:
    return installed_models().load()


def test_the_largest_stream_is_bounded_in_time_and_memory(codec: Codec) -> None:
    """Three bytes of header may ask for 65,536 pixels, and no payload for more."""
    stream = write_header(codec.bitstream_id, 256, 256) + random.Random(1).randbytes(100)
    codec.decode(stream)  # what is made once and kept is not counted
    tracemalloc.start()
    try:
        begin = time.monotonic()
        pixels = codec.decode(stream + bytes(1 << 20))
        assert time.monotonic() - begin < MAX_SECONDS
        assert tracemalloc.get_traced_memory()[1] < MAX_BYTES_OF_MEMORY
    finally:
        tracemalloc.stop()
    assert pixels.shape == (256, 256, 3)


def test_a_tail_costs_nothing(codec: Codec) -> None:
    """Ten megabytes behind the end of a stream are not even looked at."""
    stream = codec.encode(np.full((8, 8, 3), 90, np.uint8))
    tail = bytes(10 << 20)
    np.testing.assert_array_equal(codec.decode(stream + tail), codec.decode(stream))


def main() -> int:
    parser = argparse.ArgumentParser(description="Decode spoilt streams until the time is up.")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    args = parser.parse_args()
    end, counts = time.monotonic() + args.seconds, [0, 0]
    for name, stream in mutated_streams(args.seed):
        try:
            counts[check(stream)] += 1
        except BaseException:
            print(f"seed {args.seed}, {name}: {stream.hex()}", file=sys.stderr)
            raise
        if time.monotonic() > end:
            break
    print(f"seed {args.seed}: {counts[1]} images, {counts[0]} errors, nothing else")
    return 0


if __name__ == "__main__":
    sys.exit(main())
