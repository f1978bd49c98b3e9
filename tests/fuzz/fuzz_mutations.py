"""Ways to spoil a stream."""

from __future__ import annotations

import random
from collections.abc import Callable

Mutation = Callable[[random.Random, bytearray], bytes]

MUTATIONS: dict[str, Mutation] = {
    "as it is": lambda rng, data: bytes(data),
    "cut": lambda rng, data: bytes(data[: rng.randint(0, len(data))]),
    "extended": lambda rng, data: bytes(data) + rng.randbytes(rng.randint(1, 60)),
    "a bit": lambda rng, data: _replaced(rng, data, lambda byte: byte ^ 1 << rng.randrange(8)),
    "a byte": lambda rng, data: _replaced(rng, data, lambda byte: rng.randrange(256)),
    "shifted": lambda rng, data: bytes(data[rng.randint(0, 3) :]),
    "repeated": lambda rng, data: bytes(data) * rng.randint(2, 4),
    "backwards": lambda rng, data: bytes(data[::-1]),
    "random": lambda rng, data: rng.randbytes(rng.randint(0, 40)),
}


def _replaced(rng: random.Random, data: bytearray, change: Callable[[int], int]) -> bytes:
    place = rng.randrange(len(data))
    data[place] = change(data[place])
    return bytes(data)
