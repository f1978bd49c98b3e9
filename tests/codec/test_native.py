"""The compiled loops against their Python twins, to the last bit of state, and their build."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from codec_lapped import stream_model

from thumbstream.codec import native
from thumbstream.codec.lapped.compiled import Coded
from thumbstream.codec.lapped.params import MAX_PLANES, LappedParams
from thumbstream.codec.lapped.symbols import SymbolDecoder, SymbolEncoder
from thumbstream.codec.range_coder import PrefixDigitCounter, RangeDecoder, RangeEncoder
from thumbstream.codec.tensors import Grid

FOLDER = Path(native.__file__).parent
LARGEST = (1 << 16) - 1

LAPPED = [
    stream_model(),
    stream_model(LappedParams(groups=(3, 2, 4), planes=52, look=31)),
    stream_model(LappedParams(groups=(2, 6, 4), planes=MAX_PLANES, look=30)),
]

compiled = pytest.mark.skipif(native.LOOPS is None, reason="no compiled loops for this machine")


def random_digits(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Digits with probabilities that fit them, or are extreme, as a carry needs them."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(0, 3000))
    extreme = np.array([1, 2, LARGEST // 2, LARGEST - 1, LARGEST], np.uint16)
    nonzero, positive = (
        np.where(
            rng.random(n) < 0.2, rng.choice(extreme, n), rng.integers(1, LARGEST + 1, n)
        ).astype(np.uint16)
        for _ in range(2)
    )
    signs = np.where(rng.random(n) * LARGEST < positive, 1, -1)
    digits = np.where(rng.random(n) * LARGEST < nonzero, signs, 0).astype(np.int8)
    unsigned = rng.random(n) < 0.2
    digits[unsigned], positive[unsigned] = np.abs(digits[unsigned]), 0
    return digits, nonzero, positive


def encoder_state(coder: RangeEncoder) -> object:
    return bytes(coder._out), coder._low, coder._range, coder._digits, coder.checkpoints


def decoder_state(coder: RangeDecoder) -> object:
    return coder._code, coder._range, coder._position, coder._missing


def encode(seed: int) -> RangeEncoder:
    coder = RangeEncoder()
    digits, nonzero, positive = random_digits(seed)
    for part in np.array_split(np.arange(len(digits)), 1 + seed % 5):
        coder.encode_ternary(digits[part], nonzero[part], positive[part])
    return coder


@compiled
@pytest.mark.parametrize("seed", range(60))
def test_encoder_equals_its_twin(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    fast = encode(seed)
    monkeypatch.setattr(native, "LOOPS", None)
    assert encoder_state(encode(seed)) == encoder_state(fast)


@compiled
@pytest.mark.parametrize("seed", range(60))
def test_decoder_equals_its_twin(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Complete, cut, and arbitrary data."""
    coder, (digits, nonzero, positive) = encode(seed), random_digits(seed)
    data = coder.finish()
    rng = np.random.default_rng(seed)
    cases = [data, data[: rng.integers(0, len(data) + 1)], data + b"tail", rng.bytes(40), b""]
    fast = [(c := RangeDecoder(case), c.decode_ternary(nonzero, positive)) for case in cases]
    assert fast[0][1].tolist() == fast[2][1].tolist() == digits.tolist()
    counter = PrefixDigitCounter(data, coder.checkpoints, nonzero, positive)
    counts = [counter.count(n) for n in range(0, len(data), 7)]
    monkeypatch.setattr(native, "LOOPS", None)
    for case, (coder_of_case, found) in zip(cases, fast, strict=True):
        slow = RangeDecoder(case)
        assert slow.decode_ternary(nonzero, positive).tolist() == found.tolist()
        assert decoder_state(slow) == decoder_state(coder_of_case)
    assert counts == [counter.count(n) for n in range(0, len(data), 7)]


def coded_symbols(coded: Coded) -> list[list[int]]:
    return [array.tolist() for array in coded]


@compiled
@pytest.mark.parametrize("seed", range(24))
def test_lapped_symbols_equal_their_twin(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """States of any size, in one or two layers, complete and with a limit; and arbitrary data."""
    rng, model = np.random.default_rng(seed), LAPPED[seed % len(LAPPED)]
    grid, layers = Grid(*(int(side) for side in rng.integers(1, 7, 2))), 1 + seed % 2
    size, axis = rng.choice([0.1, 1, 30, 1000]), int(rng.integers(32))
    scales = size * np.geomspace(20, 0.5, model.params.channels)[:, None]
    latents = rng.laplace(size=(layers, model.params.channels, grid.cells)) * scales
    q = model.on_grid(grid).layout.quantize(latents)
    limits = [None, 0, int(rng.integers(1, 60))]
    fast = [SymbolEncoder(model, q, grid, limit, axis=axis) for limit in limits]
    data = fast[0].data
    cases = [data, data[: rng.integers(0, len(data) + 1)], data + b"tail", rng.bytes(90), b""]
    cases += [rng.bytes(5000), bytes(5000), b"\xff" * 5000]
    fast_decoders = [SymbolDecoder(case, model, layers, grid) for case in cases]
    monkeypatch.setattr(native, "LOOPS", None)
    for limit, one in zip(limits, fast, strict=True):
        slow = SymbolEncoder(model, q, grid, limit, axis=axis)
        assert slow.data == one.data
        assert slow._checkpoints == one._checkpoints
        assert coded_symbols(slow._coded) == coded_symbols(one._coded)
    for case, decoder in zip(cases, fast_decoders, strict=True):
        slow_decoder = SymbolDecoder(case, model, layers, grid)
        assert coded_symbols(slow_decoder._coded) == coded_symbols(decoder._coded)
        assert slow_decoder._digits.tolist() == decoder._digits.tolist()
        slow_latents, latents = slow_decoder.decode_all(), decoder.decode_all()
        assert slow_latents.q.tolist() == latents.q.tolist()
        assert slow_latents.axis == latents.axis


@pytest.mark.skipif(
    not (FOLDER / f"loops-{sys.platform}-{platform.machine()}.so").exists(),
    reason="no compiled loops for this machine",
)
def test_this_machine_loads_its_loops() -> None:
    """Otherwise all tests of compiled loops would be skipped here."""
    assert native.LOOPS is not None


def test_another_machine_has_no_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native.platform, "machine", lambda: "sparc")
    assert native.load() is None


def test_libraries_export_every_loop_and_need_nothing() -> None:
    """Both architectures, read from the files: names of the functions, and no other library."""
    source = "".join(path.read_text(encoding="utf-8") for path in FOLDER.glob("*.c"))
    functions = set(re.findall(r"^int64_t (\w+)\(", source, re.MULTILINE))
    assert functions == native._ARGUMENTS.keys()
    libraries = sorted(FOLDER.glob("loops-*.so"))
    assert len(libraries) == 2
    for library in libraries:
        content = library.read_bytes()
        assert all(name.encode() + b"\0" in content for name in functions)
        assert b"libc." not in content


@pytest.mark.skipif(shutil.which("clang-19") is None, reason="clang 19 built the libraries")
def test_the_built_libraries_are_current() -> None:
    subprocess.run(["sh", str(FOLDER / "build.sh"), "--check"], check=True, timeout=60)
