"""Range coder against golden bytes and the reference implementation, and its guarantees."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import codec_vectors
import numpy as np
import pytest
import reference_codec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from thumbstream.codec import native
from thumbstream.codec.range_coder import RangeDecoder, RangeEncoder, count_decodable

VECTORS = codec_vectors.read("rangecoder")
ONE = 1 << 16
FLOOR_OF_SPLIT = 0.006
"""Cost in bits of rounding the split down: less than 1 of 2^24 * p / 2^16 >= 256."""

probabilities = st.one_of(
    st.integers(1, ONE - 1),
    st.sampled_from([1, 2, ONE // 2 - 1, ONE // 2, ONE // 2 + 1, ONE - 2, ONE - 1]),
)
decisions = st.lists(st.tuples(st.booleans(), probabilities), max_size=120)
quick = settings(deadline=None, max_examples=150)


@pytest.fixture(scope="module", params=["compiled", "python"], autouse=True)
def loops(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "python":
            patch.setattr(native, "LOOPS", None)
        elif native.LOOPS is None:
            pytest.skip("no compiled loops for this machine")
        yield


def encode(bits: list[bool], probabilities: list[int]) -> bytes:
    coder = RangeEncoder()
    for bit, probability in zip(bits, probabilities, strict=True):
        coder.encode(bit, probability)
    return coder.finish()


def decode(data: bytes, probabilities: list[int]) -> list[bool]:
    """Decisions up to the first that the data do not determine."""
    coder = RangeDecoder(data)
    bits = []
    for probability in probabilities:
        bit = coder.decode(probability)
        if bit is None:
            break
        bits.append(bit)
    return bits


def columns(pairs: list[tuple[bool, int]]) -> tuple[list[bool], list[int]]:
    return [bit for bit, _ in pairs], [probability for _, probability in pairs]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_golden_vectors(vector: dict[str, Any]) -> None:
    """Bytes and their decisions: complete, cut at every byte, and with a tail."""
    probabilities, data = vector["probabilities"], bytes.fromhex(vector["hex"])
    bits = [bit == "1" for bit in vector["bits"]]
    assert encode(bits, probabilities) == data
    for n, known in enumerate(vector["known"]):
        assert decode(data[:n], probabilities) == bits[:known]
    assert n == len(data)
    assert known == len(bits)
    for tail in (b"\x00" * 6, b"\xff" * 6, b"\x7f\x80\x01"):
        assert decode(data + tail, probabilities) == bits


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_reference_on_golden_vectors(vector: dict[str, Any]) -> None:
    probabilities, data = vector["probabilities"], bytes.fromhex(vector["hex"])
    bits = [bit == "1" for bit in vector["bits"]]
    assert reference_codec.range_encode(bits, probabilities) == data
    for n in {0, 1, len(data) // 2, len(data)}:
        assert reference_codec.range_decode(data[:n], probabilities) == bits[: vector["known"][n]]


def test_golden_carries_have_the_stated_length() -> None:
    by_name = {vector["name"]: vector for vector in VECTORS}
    assert by_name["carry through seven bytes"]["hex"].startswith("80" + "00" * 7)
    assert by_name["carry in the last bytes"]["hex"].startswith("80")
    assert by_name["carry that never comes"]["hex"].startswith("7f" + "ff" * 7)
    for name in ("carry through seven bytes", "carry in the last bytes"):
        # Before the carry the leading bytes were 7f ff ff ...: low, cut to its digits.
        interval = reference_codec.Interval()
        vector = by_name[name]
        last = len(vector["bits"]) - (name == "carry through seven bytes")
        for bit, probability in list(zip(vector["bits"], vector["probabilities"], strict=True))[
            :last
        ]:
            interval.narrow(bit == "1", probability)
        low = interval.low.to_bytes(4 + interval.shifts, "big")
        assert low.startswith(b"\x7f" + b"\xff" * 7)


@quick
@given(decisions)
def test_same_bytes_as_the_reference(pairs: list[tuple[bool, int]]) -> None:
    bits, probabilities = columns(pairs)
    assert encode(bits, probabilities) == reference_codec.range_encode(bits, probabilities)


@quick
@given(st.binary(max_size=24), st.lists(probabilities, max_size=80))
def test_any_bytes_decode_as_in_the_reference(data: bytes, probabilities: list[int]) -> None:
    """Also bytes that no encoder wrote; every decision that the data determine is found."""
    assert decode(data, probabilities) == reference_codec.range_decode(data, probabilities)


@quick
@given(decisions, st.binary(max_size=8))
def test_round_trip_with_any_tail(pairs: list[tuple[bool, int]], tail: bytes) -> None:
    bits, probabilities = columns(pairs)
    assert decode(encode(bits, probabilities) + tail, probabilities) == bits


@quick
@given(decisions)
def test_every_prefix_decodes_to_a_prefix(pairs: list[tuple[bool, int]]) -> None:
    bits, probabilities = columns(pairs)
    data = encode(bits, probabilities)
    found = [decode(data[:n], probabilities) for n in range(len(data) + 1)]
    assert all(part == bits[: len(part)] for part in found)
    assert all(len(a) <= len(b) for a, b in pairwise(found))
    assert found[-1] == bits


@quick
@given(decisions.filter(bool), st.data())
def test_undetermined_decisions_are_undetermined(
    pairs: list[tuple[bool, int]], source: st.DataObject
) -> None:
    """After None, two continuations of the bytes decode differently."""
    bits, probabilities = columns(pairs)
    data = encode(bits, probabilities)
    cut = data[: source.draw(st.integers(0, len(data) - 1))]
    known = len(decode(cut, probabilities))
    if known == len(bits):  # the stable bytes determine the decisions, but not what follows them
        return
    until = probabilities[: known + 1]
    low, high = decode(cut + b"\x00" * 8, until), decode(cut + b"\xff" * 8, until)
    assert low[:-1] == high[:-1] == bits[:known]
    assert (low[known], high[known]) == (True, False)


@quick
@given(decisions.filter(bool))
def test_end_is_as_short_as_possible(pairs: list[tuple[bool, int]]) -> None:
    """No string that is one byte shorter determines every decision."""
    bits, probabilities = columns(pairs)
    data = encode(bits, probabilities)
    interval = reference_codec.Interval()
    for bit, probability in pairs:
        interval.narrow(bit, probability)
    unit = 256 ** (4 + interval.shifts - (len(data) - 1))
    first = -(-interval.low // unit)
    assert (first + 1) * unit > interval.low + interval.width


@quick
@given(decisions, decisions)
def test_stable_bytes_never_change(
    now: list[tuple[bool, int]], later: list[tuple[bool, int]]
) -> None:
    bits, probabilities = columns(now)
    coder = RangeEncoder()
    for bit, probability in now:
        coder.encode(bit, probability)
    stable_length = coder.stable_length()
    beginning = encode(bits, probabilities)[:stable_length]
    assert len(beginning) == stable_length
    longer_bits, longer_probabilities = columns(now + later)
    assert encode(longer_bits, longer_probabilities)[:stable_length] == beginning


def test_stable_length_grows_with_the_stream() -> None:
    coder = RangeEncoder()
    stable_length = []
    for i in range(4000):
        coder.encode(i % 3 == 0, 20000)
        stable_length.append(coder.stable_length())
    assert stable_length[-1] > 400
    assert len(coder.finish()) - stable_length[-1] <= 8


@quick
@given(decisions)
def test_length_is_near_the_ideal(pairs: list[tuple[bool, int]]) -> None:
    bits, probabilities = columns(pairs)
    ideal = sum(-math.log2((p if bit else ONE - p) / ONE) for bit, p in pairs) / 8
    rounding = FLOOR_OF_SPLIT * len(pairs) / 8
    assert len(encode(bits, probabilities)) <= ideal + rounding + 2


def test_length_of_a_long_stream_is_near_the_ideal() -> None:
    vector = next(vector for vector in VECTORS if vector["name"] == "long")
    bits = [bit == "1" for bit in vector["bits"]]
    ideal = sum(
        -math.log2((p if bit else ONE - p) / ONE)
        for bit, p in zip(bits, vector["probabilities"], strict=True)
    )
    assert abs(len(vector["hex"]) / 2 - ideal / 8) <= 2


def test_an_empty_prefix_determines_nothing() -> None:
    assert RangeDecoder(b"").decode(1) is None
    assert RangeDecoder(b"").decode(ONE - 1) is None


@quick
@given(st.binary(max_size=6), st.lists(probabilities, min_size=1, max_size=80), probabilities)
@example(b"\x80", [0x8080], ONE - 1)
def test_no_decision_after_none(data: bytes, probabilities: list[int], again: int) -> None:
    """After the first None every decision is None."""
    coder = RangeDecoder(data)
    answers = [coder.decode(probability) for probability in probabilities]
    if None in answers:
        assert set(answers[answers.index(None) :]) == {None}
        assert coder.decode(again) is None


@quick
@given(decisions)
def test_decodable_counts_in_one_pass(pairs: list[tuple[bool, int]]) -> None:
    """At every length, some of them twice, and past the end."""
    bits, probabilities = columns(pairs)
    data = encode(bits, probabilities)
    lengths = sorted([*range(len(data) + 3), len(data) // 2])
    expected = [len(decode(data[:n], probabilities)) for n in lengths]
    assert list(count_decodable(data, probabilities, lengths)) == expected


@quick
@given(st.binary(max_size=40), st.lists(probabilities, max_size=80), st.integers(0, 45))
def test_decodable_counts_of_any_bytes(data: bytes, probabilities: list[int], length: int) -> None:
    assert list(count_decodable(data, probabilities, [length])) == [
        len(decode(data[:length], probabilities))
    ]


# Ternary digits: runs of decisions in one call.

ternary = st.lists(
    st.tuples(st.sampled_from([0, 0, 0, 0, -1, 1]), probabilities, probabilities), max_size=80
)


def in_decisions(symbols: list[tuple[int, int, int]]) -> list[tuple[bool, int]]:
    pairs = []
    for digit, nonzero, positive in symbols:
        pairs.append((digit != 0, nonzero))
        if digit:
            pairs.append((digit > 0, positive))
    return pairs


def encode_ternary(*runs: list[tuple[int, int, int]]) -> bytes:
    coder = RangeEncoder()
    for run in runs:
        digits, nonzero, positive = np.array(run, np.int32).reshape(-1, 3).T
        coder.encode_ternary(
            digits.astype(np.int8), nonzero.astype(np.uint16), positive.astype(np.uint16)
        )
    return coder.finish()


@quick
@given(ternary, ternary)
def test_ternary_digits_equal_decisions(
    first: list[tuple[int, int, int]], second: list[tuple[int, int, int]]
) -> None:
    pairs = in_decisions(first + second)
    assert encode_ternary(first, second) == encode(*columns(pairs))


@pytest.mark.parametrize("pending", [3, 7])
def test_carry_through_a_run_of_0xff(pending: int) -> None:
    """Decisions along 1/2 from below, then just above it."""
    vector = next(v for v in VECTORS if v["name"] == "carry through seven bytes")
    symbols = [
        (int(bit == "1") * 1, probability, 65535)
        for bit, probability in zip(vector["bits"], vector["probabilities"], strict=True)
    ]
    assert symbols[-1][0] == 0
    data = encode_ternary(symbols[:pending], symbols[pending:])
    assert data == encode(*columns(in_decisions(symbols)))


@quick
@given(
    st.binary(max_size=30),
    st.lists(st.tuples(probabilities, probabilities), max_size=80),
    st.data(),
)
def test_ternary_digits_of_any_bytes(
    data: bytes, pairs: list[tuple[int, int]], source: st.DataObject
) -> None:
    """Same as single decisions, also in two calls."""
    single, expected = RangeDecoder(data), []
    for nonzero, positive in pairs:
        not_zero = single.decode(nonzero)
        sign = single.decode(positive) if not_zero else False
        if not_zero is None or sign is None:
            break
        expected.append((1 if sign else -1) if not_zero else 0)
    cut = source.draw(st.integers(0, len(pairs)))
    coder, found = RangeDecoder(data), []
    for run in (pairs[:cut], pairs[cut:]):
        digits = coder.decode_ternary(*np.array(run, np.uint16).reshape(-1, 2).T)
        found += digits.tolist()
        if len(digits) < len(run):
            assert not len(coder.decode_ternary(*np.ones((2, 1), np.uint16)))
            break
    assert found == expected


@quick
@given(
    st.lists(
        st.tuples(
            st.sampled_from([-1, 0, 0, 1]),
            st.sampled_from([1, 40, 9000, 65535]),
            st.sampled_from([1, 30000, 65535]),
        ),
        max_size=200,
    ),
    st.integers(0, 200),
)
def test_decisions_per_digit(digits: list[tuple[int, int, int]], cut: int) -> None:
    """Any number of calls gives the bytes of `RangeEncoder.encode`, also with carries."""
    plain, coder = RangeEncoder(), RangeEncoder()
    for digit, nonzero, positive in digits:
        plain.encode(digit != 0, nonzero)
        if digit:
            plain.encode(digit > 0, positive)
    for part in (digits[:cut], digits[cut:]):
        columns = np.array(part, np.int32).reshape(-1, 3).T
        coder.encode_ternary(
            columns[0].astype(np.int8), *(column.astype(np.uint16) for column in columns[1:])
        )
    assert coder.finish() == plain.finish()


@pytest.mark.parametrize("loops", [native.LOOPS, None], ids=["compiled", "Python"])
def test_arrays_of_other_types_or_lengths_are_errors(
    loops: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native, "LOOPS", loops)
    digits, half = np.zeros(3, np.int8), np.full(3, 1 << 15, np.uint16)
    coder = RangeEncoder()
    for wrong in (
        (digits.astype(np.int32), half, half),
        (digits, half.astype(np.int32), half),
        (digits, half, half.astype(np.uint32)),
    ):
        with pytest.raises(TypeError, match="expected"):
            coder.encode_ternary(*wrong)
    for wrong in ((digits, half[:2], half), (digits, half, half[:2])):
        with pytest.raises(ValueError, match="expected 3 values"):
            coder.encode_ternary(*wrong)
    decoder = RangeDecoder(b"abc")
    with pytest.raises(TypeError, match="expected uint16"):
        decoder.decode_ternary(half, half.astype(np.int64))
    with pytest.raises(ValueError, match="expected 3 values"):
        decoder.decode_ternary(half, half[:2])
    assert coder.finish() == RangeEncoder().finish()
