"""Implements a byte-wise binary range coder in integer arithmetic.

How to read this file:

1. `RangeEncoder.encode` narrows an interval ``[low, low + range)`` by one binary decision and
   writes leading bytes of ``low`` while ``range`` is below 2^24. All values stay below 2^49, so
   the arithmetic is exact in Python integers, 64-bit integers and JavaScript numbers.
2. `RangeDecoder.decode` reads one decision. After the last byte of the data it continues as long as
   all possible continuations of the data give the same decision. Then it returns None, which is no
   error: a truncated stream is valid. Comments next to the fields state their invariants.
3. `encode_ternary` and `decode_ternary` code sequences of digits -1, 0 and +1 in one loop, which is
   compiled if possible (`thumbstream.codec.native`). The Python twins are the reference.
4. Two functions count the decisions or digits that each prefix determines: `count_decodable` in one
   pass over the bytes, `PrefixDigitCounter` from checkpoints that the encoder recorded.

Normative text: docs/bitstream.md, "Range coder".
"""

from __future__ import annotations

import copy
import ctypes
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec import native

PROBABILITY_BITS = 16
"""Probabilities are integers ``p`` in 1 .. 2^16 - 1 and mean ``p / 2^16``."""
_TOP = 1 << 32
_BOTTOM = 1 << 24
_LOW_MASK = _BOTTOM - 1
_CODE_BYTES = 4
_DECISION_BYTES = 2
"""Largest number of bytes that a decoder reads for one decision, because a decision leaves a range
of at least 2^8, and each byte multiplies the range by 2^8 until it is at least 2^24."""

_DIGIT_BYTES = 2 * _DECISION_BYTES

Digits: TypeAlias = NDArray[np.int8]
"""Ternary digits -1, 0 and +1, shape ``(n,)``."""
Probabilities: TypeAlias = NDArray[np.uint16]
"""Probabilities times 2^16, shape ``(n,)``."""

Checkpoint = tuple[int, int, int, int]
"""State of an encoder: number of coded digits, number of written bytes, low, range."""


class RangeEncoder:
    """Encodes binary decisions to bytes."""

    def __init__(self) -> None:
        self._out = bytearray()
        self._low = 0  # invariant: 0 <= low < 2^32
        self._range = _TOP  # invariant between calls: 2^24 <= range <= 2^32
        self._digits = 0  # coded by encode_ternary
        self.checkpoints: list[Checkpoint] = [(0, 0, 0, _TOP)]
        """The initial state, and the state after every digit whose last decision wrote bytes; only
        `encode_ternary` adds states."""

    def encode(self, bit: bool, probability: int) -> None:
        """Encode ``bit``, given the probability ``probability / 2^16`` that it is true."""
        split = (self._range * probability) >> PROBABILITY_BITS
        if bit:
            self._range = split
        else:
            self._low += split
            self._range -= split
            if self._low >= _TOP:
                self._low -= _TOP
                self._carry()
        if self._range < _BOTTOM:
            self._normalise()

    def encode_ternary(
        self, digits: Digits, nonzero: Probabilities, positive: Probabilities
    ) -> None:
        """Encode ``digits``: whether a digit is nonzero, and if so whether it is +1.

        ``nonzero`` and ``positive``: probabilities of the two decisions, one of each per digit. A
        digit whose ``positive`` is 0 is 0 or +1 and has no second decision. Gives the same bytes as
        calls of `encode`, but is faster and adds `checkpoints`. Raises `TypeError` for arrays of
        other types, and `ValueError` for arrays of different lengths.
        """
        digits = _checked(digits, np.int8, len(digits))
        nonzero, positive = (_checked(p, np.uint16, len(digits)) for p in (nonzero, positive))
        if native.LOOPS is None:
            self._encode_in_python(digits.tolist(), nonzero.tolist(), positive.tolist())
        else:
            self._encode_compiled(native.LOOPS, digits, nonzero, positive)
        self._digits += len(digits)

    def _encode_compiled(
        self,
        loops: ctypes.CDLL,
        digits: Digits,
        nonzero: Probabilities,
        positive: Probabilities,
    ) -> None:
        state = native.EncoderState(self._low, self._range, len(self._out))
        self._out += bytes(_DIGIT_BYTES * len(digits))
        checkpoints = np.empty((len(digits), 4), np.int64)
        out = ctypes.c_char.from_buffer(self._out) if len(digits) else ctypes.c_char()
        count = loops.encode_ternary(
            state,
            ctypes.addressof(out),
            native.address(digits),
            native.address(nonzero),
            native.address(positive),
            len(digits),
            self._digits,
            native.address(checkpoints),
        )
        del out  # a bytearray cannot shrink while another object refers to its bytes
        del self._out[state.written :]
        self._low, self._range = state.low, state.range
        self.checkpoints += map(tuple, checkpoints[:count].tolist())

    def _encode_in_python(
        self, digits: Sequence[int], nonzero: Sequence[int], positive: Sequence[int]
    ) -> None:
        out, low, width, checkpoints = self._out, self._low, self._range, self.checkpoints
        coded = self._digits + 1
        for i, digit in enumerate(digits):
            split = (width * nonzero[i]) >> PROBABILITY_BITS
            if digit:
                width = split
                if positive[i]:
                    while width < _BOTTOM:
                        out.append(low >> 24)
                        low = (low & _LOW_MASK) << 8
                        width <<= 8
                    split = (width * positive[i]) >> PROBABILITY_BITS
                    if digit > 0:
                        width = split
                    else:
                        low += split
                        width -= split
            else:
                low += split
                width -= split
            if low >= _TOP:
                low -= _TOP
                self._carry()
            if width < _BOTTOM:
                while width < _BOTTOM:
                    out.append(low >> 24)
                    low = (low & _LOW_MASK) << 8
                    width <<= 8
                checkpoints.append((coded + i, len(out), low, width))
        self._low, self._range = low, width

    def compiled_state(self) -> native.EncoderState:
        """Return a copy of the state for compiled loops."""
        return native.EncoderState(self._low, self._range, len(self._out))

    def advance(
        self,
        state: native.EncoderState,
        out: bytes,
        digits: int,
        checkpoints: Sequence[Sequence[int]],
    ) -> None:
        """Continue after ``digits`` digits that compiled loops coded.

        ``out``: all written bytes; ``checkpoints``: those of the loops, which count only their own
        digits.
        """
        self._out, self._low, self._range = bytearray(out), state.low, state.range
        self.checkpoints += [
            (self._digits + coded, written, low, width)
            for coded, written, low, width in checkpoints
        ]
        self._digits += digits

    def stable_length(self) -> int:
        """Return a lower bound of the number of leading bytes that no later decision can change."""
        return len(self._out) if self._low + self._range <= _TOP else 0

    def finish(self) -> bytes:
        """Return all bytes.

        The end is as short as possible such that the bytes determine every decision, even if
        other bytes follow them.
        """
        for missing in range(_CODE_BYTES - 1, -1, -1):
            unit = 1 << (8 * missing)
            value = -(-self._low // unit) * unit
            if value + unit <= self._low + self._range:
                break
        if value >= _TOP:
            value -= _TOP
            self._carry()
        return bytes(self._out) + value.to_bytes(_CODE_BYTES, "big")[: _CODE_BYTES - missing]

    def _normalise(self) -> None:
        while self._range < _BOTTOM:
            self._out.append(self._low >> 24)
            self._low = (self._low & _LOW_MASK) << 8
            self._range <<= 8

    def _carry(self) -> None:
        # The interval never leaves [0, 1) as a fraction, so a byte below 255 always precedes.
        i = len(self._out) - 1
        while self._out[i] == 0xFF:
            self._out[i] = 0
            i -= 1
        self._out[i] += 1


class RangeDecoder:
    """Decodes binary decisions from bytes, up to the last decision that the bytes determine."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        head = data[:_CODE_BYTES]
        self._position = len(head)
        # Low bytes of code that are past the end of the data, at most 4. All their values lead to
        # the decisions so far, so code + 256^missing <= range.
        self._missing = _CODE_BYTES - len(head)
        self._range = _TOP
        # Invariant: 0 <= code < range; missing bytes count as zero.
        self._code = int.from_bytes(head.ljust(_CODE_BYTES, b"\0"), "big")

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, data: bytes) -> RangeDecoder | None:
        """Return a decoder of ``data`` that continues after the digits coded at ``checkpoint``.

        ``data`` must be a prefix of the bytes of the encoder that recorded the checkpoint. Returns
        None if ``data`` does not determine all digits coded at the checkpoint.
        """
        _, written, low, width = checkpoint
        coder = cls(data[written : written + _CODE_BYTES])
        coder._data, coder._position = data, min(written + _CODE_BYTES, len(data))
        # Later carries changed the bytes before these, so the difference modulo 2^32 is correct.
        coder._code = (coder._code - low) % _TOP
        coder._range = width
        within = coder._code + (coder._uncertainty() if coder._missing else 1) <= width
        return coder if within else None

    def decode(self, probability: int) -> bool | None:
        """Decode the next decision; return None if the data do not determine it.

        ``probability``: probability times 2^16 that the decision is true. After the first None,
        every call returns None.
        """
        split = (self._range * probability) >> PROBABILITY_BITS
        if self._code >= split:
            self._code -= split
            self._range -= split
            bit = False
        elif self._missing and self._code + self._uncertainty() > split:
            # From here decode from an empty stream, which determines nothing.
            self._range, self._code, self._missing = _TOP, 0, _CODE_BYTES
            return None
        else:
            self._range = split
            bit = True
        if self._range < _BOTTOM:
            self._normalise()
        return bit

    def decode_ternary(self, nonzero: Probabilities, positive: Probabilities) -> Digits:
        """Decode the next digits, which `RangeEncoder.encode_ternary` encoded.

        Returns the digits that the data determine, at most one per probability. A nonzero digit
        whose sign is not determined is not one of them. ``nonzero`` and ``positive``: as for the
        encoder.
        """
        nonzero, positive = (_checked(p, np.uint16, len(nonzero)) for p in (nonzero, positive))
        digits = np.zeros(len(nonzero), np.int8)
        if native.LOOPS is None:
            count = self._decode_in_python(nonzero.tolist(), positive.tolist(), digits)
        else:
            count = self._decode_compiled(native.LOOPS, nonzero, positive, digits)
        return digits[:count]

    def _decode_compiled(
        self,
        loops: ctypes.CDLL,
        nonzero: Probabilities,
        positive: Probabilities,
        digits: Digits,
    ) -> int:
        state = self.compiled_state()
        count: int = loops.decode_ternary(
            state,
            self._data,
            len(self._data),
            native.address(nonzero),
            native.address(positive),
            len(digits),
            native.address(digits),
        )
        self._code, self._range = state.code, state.range
        self._position, self._missing = state.position, state.missing
        return count

    def _decode_in_python(
        self, nonzero: Sequence[int], positive: Sequence[int], digits: Digits
    ) -> int:
        code, width = self._code, self._range
        for i, probability in enumerate(nonzero):
            split = (width * probability) >> PROBABILITY_BITS
            if code >= split:  # the digit is 0
                code -= split
                width -= split
                if width < _BOTTOM:
                    self._code, self._range = code, width
                    self._normalise()
                    code, width = self._code, self._range
                continue
            self._code, self._range = code, width
            if self.decode(probability) is None:
                return i
            sign = self.decode(positive[i]) if positive[i] else True
            if sign is None:
                return i
            digits[i] = 1 if sign else -1
            code, width = self._code, self._range
        self._code, self._range = code, width
        return len(nonzero)

    def compiled_state(self) -> native.DecoderState:
        """Return a copy of the state for compiled loops, which also need the data."""
        return native.DecoderState(self._code, self._range, self._position, self._missing)

    def can_decode(self, length: int) -> bool:
        """Return whether the next decision certainly reads no byte after the first ``length``."""
        return self._position + _DECISION_BYTES <= length

    def fork(self, length: int) -> RangeDecoder:
        """Return a decoder of the first ``length`` bytes that continues after the same decisions.

        The caller must have checked every decision so far with `can_decode` for this ``length``:
        then this decoder has read no later byte, except that a new decoder reads four bytes.
        """
        if self._position > length:
            return RangeDecoder(self._data[:length])
        other = copy.copy(self)
        other._data = self._data[:length]
        return other

    def _normalise(self) -> None:
        while self._range < _BOTTOM:
            self._range <<= 8
            self._shift_in()

    def _uncertainty(self) -> int:
        return 1 << (8 * self._missing)

    def _shift_in(self) -> None:
        self._code <<= 8
        if self._position < len(self._data):
            self._code |= self._data[self._position]
            self._position += 1
        else:
            self._missing = min(self._missing + 1, _CODE_BYTES)


def _checked(values: NDArray[Any], dtype: type[np.generic], length: int) -> NDArray[Any]:
    """Return ``values``, contiguous: compiled loops read their memory as it is."""
    if values.dtype != dtype:
        raise TypeError(f"expected {np.dtype(dtype)}, got {values.dtype}")
    if values.shape != (length,):
        raise ValueError(f"expected {length} values, got shape {values.shape}")
    return np.ascontiguousarray(values)


def count_decodable(
    data: bytes, probabilities: Sequence[int], lengths: Sequence[int]
) -> Iterator[int]:
    """Yield the number of decisions that ``data[:n]`` determines, for every ``n`` of ``lengths``.

    ``lengths`` must not decrease. ``probabilities``: for each decision that ``data`` determines,
    the probability times 2^16 that the decision is true. Until ``data[:n]`` ends, its decoder makes
    the same decisions as a decoder of ``data``. One pass over ``data`` therefore serves all
    lengths, and only the last few decisions of each prefix are decoded twice.
    """
    coder, count = RangeDecoder(data), 0
    for n in lengths:
        length = min(n, len(data))
        while count < len(probabilities) and coder.can_decode(length):
            coder.decode(probabilities[count])
            count += 1
        fork, known = coder.fork(length), count
        while known < len(probabilities) and fork.decode(probabilities[known]) is not None:
            known += 1
        yield known


class PrefixDigitCounter:
    """Counts the digits that a prefix of an encoder's bytes determines, decoding few digits."""

    def __init__(
        self,
        data: bytes,
        checkpoints: Sequence[Checkpoint],
        nonzero: Probabilities,
        positive: Probabilities,
    ) -> None:
        """``data``: all bytes of a `RangeEncoder`; ``checkpoints``: its checkpoints.

        ``nonzero`` and ``positive``: the probabilities of all digits, as given to
        `RangeEncoder.encode_ternary`.
        """
        self._data, self._checkpoints = data, checkpoints
        self._written = [written for _, written, _, _ in checkpoints]
        self._nonzero, self._positive = nonzero, positive

    def count(self, length: int) -> int:
        """Return the number of digits that the first ``length`` bytes determine.

        Decodes only between two checkpoints: from the last one that these bytes are enough to
        reach, to the first one that was recorded after more than ``length`` bytes.
        """
        data = self._data[: max(0, length)]
        index = bisect_right(self._written, len(data))
        end = len(self._nonzero)
        if index < len(self._checkpoints):
            end = self._checkpoints[index][0]
        coder = None
        while coder is None:  # the first checkpoint needs no bytes
            index -= 1
            coder = RangeDecoder.from_checkpoint(self._checkpoints[index], data)
        begin = self._checkpoints[index][0]
        decoded = coder.decode_ternary(self._nonzero[begin:end], self._positive[begin:end])
        return begin + len(decoded)
