"""Every committed input of the fuzzers, tried again: seeds, and what once broke an invariant.

``make fuzz`` goes on from here; see ``fuzz_guided``.
"""

from __future__ import annotations

from pathlib import Path

import fuzz_guided
import pytest
from fuzz_guided import CORPUS, TARGETS, CostError, check_with_cost, target_module

MOST_BYTES = 64 * 1024
"""Of all inputs together: they are in every checkout."""


def inputs(target: str) -> list[Path]:
    return sorted((CORPUS / target).iterdir())


@pytest.mark.parametrize("target", TARGETS)
def test_every_input_keeps_the_invariant(target: str) -> None:
    module = target_module(target)
    outcomes = set()
    for path in inputs(target):
        try:
            outcomes.add(check_with_cost(module, path.read_bytes()))
        except BaseException as error:
            error.add_note(f"the input is {path}")
            raise
    assert outcomes == {True, False}, "a corpus has inputs that are accepted and that are refused"


@pytest.mark.parametrize("target", TARGETS)
def test_seeds_are_committed_and_accepted(target: str) -> None:
    module = target_module(target)
    names = {path.name for path in inputs(target)}
    seeds = dict(module.seeds())
    assert set(seeds) <= names
    assert all(len(seed) <= module.LONGEST for seed in seeds.values())
    assert sum(map(module.check, seeds.values())) >= len(seeds) / 2


def test_the_corpus_stays_small() -> None:
    assert sum(path.stat().st_size for name in TARGETS for path in inputs(name)) <= MOST_BYTES


def test_a_mutated_png_has_the_right_checksums() -> None:
    ingest = target_module("ingest")
    [png] = [data for name, data in ingest.seeds() if name == "png-rgb"]
    assert ingest.mended(png) == png
    wider = png[:19] + b"\x0a" + png[20:]
    assert ingest.mended(wider) != wider
    assert ingest.mended(wider)[:29] == wider[:29]
    assert ingest.mended(ingest.mended(wider)) == ingest.mended(wider)


def test_a_costly_input_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    ingest = target_module("ingest")
    monkeypatch.setattr(fuzz_guided, "MAX_CPU_SECONDS", 0.0)
    with pytest.raises(CostError, match="seconds of processor time"):
        check_with_cost(ingest, dict(ingest.seeds())["png-rgb"])


def test_a_broken_invariant_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    from thumbstream.images import limits

    ingest = target_module("ingest")

    def fails(*_: object) -> None:
        raise KeyError("a bug")

    # Outside of what turns a decoder's errors into the service's own.
    monkeypatch.setattr(limits.ImageLimits, "check_bytes", fails)
    with pytest.raises(KeyError):
        ingest.check(inputs("ingest")[0].read_bytes())


def test_every_target_is_documented() -> None:
    assert fuzz_guided.__doc__ is not None
    for name, module in TARGETS.items():
        assert target_module(name).__doc__.startswith(f"Target `{name}`:"), module
