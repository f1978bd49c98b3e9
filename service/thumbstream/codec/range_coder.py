"""Byte-wise binary range coder, integers only.

The coder narrows an interval ``[low, low + range)`` by one binary decision at a time and writes its
leading byte as soon as ``range`` falls under 2^24. All quantities stay under 2^49, so the same
arithmetic is exact in Python integers, 64-bit machines and JavaScript numbers.

The decoder is asked bit by bit. When the stream has ended it goes on as long as every possible
continuation would give the same answer, and then says so: a cut stream is a normal state.
Normative text: docs/bitstream.md, "Range coder".
"""

from __future__ import annotations

import copy
from bisect import bisect_right
from collections.abc import Iterator, Sequence

PROBABILITY_BITS = 16
"""Probabilities are integers ``p`` in 1 .. 2^16 - 1 and mean ``p / 2^16``."""
_TOP = 1 << 32
_BOTTOM = 1 << 24
_LOW_MASK = _BOTTOM - 1
_CODE_BYTES = 4
_DECISION_BYTES = 2
"""A decision takes at most so many: it leaves a range of 2^8 or more, which then grows to 2^24."""

Checkpoint = tuple[int, int, int, int]
"""A state of the encoder: digits coded, bytes written, low and range."""


class RangeEncoder:
    """Binary decisions in, bytes out."""

    def __init__(self) -> None:
        self._out = bytearray()
        self._low = 0  # invariant: 0 <= low < 2^32
        self._range = _TOP  # invariant between calls: 2^24 <= range <= 2^32
        self._digits = 0  # coded by encode_ternary
        self.checkpoints: list[Checkpoint] = [(0, 0, 0, _TOP)]
        """The state behind every digit that made bytes, in front of them the first."""

    def encode(self, bit: bool, probability: int) -> None:
        """Code ``bit``, whose probability of being true is ``probability / 2^16``."""
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
        self, digits: Sequence[int], nonzero: Sequence[int], positive: Sequence[int]
    ) -> None:
        """Code digits of -1, 0 and +1: for each whether it is not 0, and if so whether it is +1.

        The same as so many calls of `encode`, but without the calls; and it leaves `checkpoints`.
        """
        out, low, width, checkpoints = self._out, self._low, self._range, self.checkpoints
        coded = self._digits + 1
        for i, digit in enumerate(digits):
            split = (width * nonzero[i]) >> PROBABILITY_BITS
            if digit:
                width = split
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
        self._digits += len(digits)
        self._low, self._range = low, width

    def stable_length(self) -> int:
        """Bytes that no later decision can change (a lower bound)."""
        return len(self._out) if self._low + self._range <= _TOP else 0

    def finish(self) -> bytes:
        """All bytes, with the fewest at the end that determine every decision whatever follows."""
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
    """Bytes in, binary decisions out, until the bytes no longer determine them."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0
        # Low bytes of code that lie behind the end of the data, at most 4. All their values gave
        # the decisions so far, so code + 256^missing <= range.
        self._missing = 0
        self._range = _TOP
        self._code = 0  # invariant: 0 <= code < range; missing bytes count as zero
        for _ in range(_CODE_BYTES):
            self._shift_in()

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, data: bytes) -> RangeDecoder | None:
        """The decoder of ``data`` behind the digits of ``mark``, which their encoder left.

        ``data`` may be any prefix of what it wrote; None when they do not determine those digits.
        """
        _, written, low, width = checkpoint
        coder = cls(data[written : written + _CODE_BYTES])
        coder._data, coder._position = data, min(written + _CODE_BYTES, len(data))
        # Carries that came later are in the bytes before, and leave the difference as it is.
        coder._code = (coder._code - low) % _TOP
        coder._range = width
        within = coder._code + (coder._uncertainty() if coder._missing else 1) <= width
        return coder if within else None

    def decode(self, probability: int) -> bool | None:
        """The next decision, or None (from then on always) when the data do not determine it."""
        split = (self._range * probability) >> PROBABILITY_BITS
        if self._code >= split:
            self._code -= split
            self._range -= split
            bit = False
        elif self._missing and self._code + self._uncertainty() > split:
            # From here on as a decoder of no data at all, which determine nothing.
            self._range, self._code, self._missing = _TOP, 0, _CODE_BYTES
            return None
        else:
            self._range = split
            bit = True
        if self._range < _BOTTOM:
            self._normalise()
        return bit

    def decode_ternary(
        self, nonzero: Sequence[int], positive: Sequence[int]
    ) -> tuple[int, list[int], list[int]]:
        """The next digits of -1, 0 and +1, as `RangeEncoder.encode_ternary` codes them.

        Returns how many the data determine, which of these are not 0, and their values. A digit
        whose sign is not determined is not known, and nothing behind it is.
        """
        places: list[int] = []
        signs: list[int] = []
        code, width = self._code, self._range
        for i, chance in enumerate(nonzero):
            split = (width * chance) >> PROBABILITY_BITS
            if code >= split:  # the digit is 0
                code -= split
                width -= split
                if width < _BOTTOM:
                    self._code, self._range = code, width
                    self._normalise()
                    code, width = self._code, self._range
                continue
            self._code, self._range = code, width
            if self.decode(chance) is None or (sign := self.decode(positive[i])) is None:
                return i, places, signs
            places.append(i)
            signs.append(1 if sign else -1)
            code, width = self._code, self._range
        self._code, self._range = code, width
        return len(nonzero), places, signs

    def can_decode(self, length: int) -> bool:
        """Whether the next decision surely needs no byte behind the first ``length``."""
        return self._position + _DECISION_BYTES <= length

    def fork(self, length: int) -> RangeDecoder:
        """The decoder of the first ``length`` bytes, after the same decisions.

        Right as long as no byte behind them has been taken: a new decoder takes four, and then
        `can_decode` says so.
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


def count_decodable(
    data: bytes, probabilities: Sequence[int], lengths: Sequence[int]
) -> Iterator[int]:
    """How many decisions ``data[:n]`` determines, for every ``n`` of growing ``lengths``.

    ``probabilities``: of all decisions that ``data`` determine. A decoder of ``data[:n]`` is one of
    ``data`` until its bytes run out, so that one pass serves all: only the last few decisions of
    every prefix are made twice.
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
    """How many digits a prefix of an encoder's bytes determines; without reading them all."""

    def __init__(
        self,
        data: bytes,
        checkpoints: Sequence[Checkpoint],
        nonzero: Sequence[int],
        positive: Sequence[int],
    ) -> None:
        """``data`` and ``checkpoints`` of an encoder; the chances of all digits that it coded."""
        self._data, self._checkpoints = data, checkpoints
        self._written = [written for _, written, _, _ in checkpoints]
        self._nonzero, self._positive = nonzero, positive

    def count(self, length: int) -> int:
        """Of the first ``length`` bytes.

        Only what lies behind the last mark that these bytes determine is decoded, until the first
        behind which more bytes are written: a few digits of thousands.
        """
        data = self._data[: max(0, length)]
        behind = bisect_right(self._written, len(data))
        until = len(self._nonzero)
        if behind < len(self._checkpoints):
            until = self._checkpoints[behind][0]
        coder = None
        while coder is None:  # nothing at all is needed for the first mark
            behind -= 1
            coder = RangeDecoder.from_checkpoint(self._checkpoints[behind], data)
        digits = self._checkpoints[behind][0]
        known, _, _ = coder.decode_ternary(
            self._nonzero[digits:until], self._positive[digits:until]
        )
        return digits + known
