"""Ternary planes: digits, levels and steps."""

from __future__ import annotations

import numpy as np
import pytest
import reference_embedded
from codec_embedded import LAYOUT, PLANES, STARTS
from hypothesis import given, settings
from hypothesis import strategies as st

from thumbstream.codec.embedded.params import MAX_TERNARY_PLANES, EmbeddedParams
from thumbstream.codec.embedded.quantizer import DecodedLatents, EmbeddedQuantizer

QUANTIZER = EmbeddedQuantizer(LAYOUT)


def layout_of(planes: int, starts: tuple[int, ...], base_step: float = 1.0) -> EmbeddedParams:
    return EmbeddedParams(len(starts), planes, (len(starts),), starts, base_step)


def finest_of(seed: int, *shape: int) -> np.ndarray:
    """``(*shape, channels, cells of 2 x 3)``: any final states of the small model."""
    rng = np.random.default_rng(seed)
    most = np.broadcast_to(QUANTIZER.max_states, (*shape, len(STARTS), 6))
    return rng.integers(-most, most + 1).astype(np.int32)


def test_steps_run_plane_by_plane_over_started_groups() -> None:
    expected = list(reference_embedded.Model({}, list(LAYOUT.groups), list(STARTS), PLANES).steps())
    found = []
    for index, step in enumerate(QUANTIZER.steps):
        channels = np.arange(len(STARTS))[step.channels].tolist()
        assert step.index == index
        assert step.width == len(channels)
        assert set(channels) <= set(range(len(STARTS))[step.group_channels])
        found.append((step.plane, step.group, channels))
    assert found == expected


def test_empty_steps_are_omitted() -> None:
    quantizer = EmbeddedQuantizer(EmbeddedParams(3, 3, (1, 2), (1, 2, 2), 1.0))
    assert [(step.plane, step.group) for step in quantizer.steps] == [(1, 0), (2, 0), (2, 1)]


@given(st.integers(1, MAX_TERNARY_PLANES), st.data())
def test_digits_are_balanced_ternary(planes: int, source: st.DataObject) -> None:
    start = source.draw(st.integers(0, planes - 1))
    quantizer = EmbeddedQuantizer(layout_of(planes, (start,)))
    largest = (3 ** (planes - start) - 1) // 2
    assert quantizer.max_states.tolist() == [[largest]]
    state = source.draw(st.integers(-largest, largest))
    digits = quantizer.digits(np.array([[state]], np.int32))[:, 0, 0].tolist()
    assert digits == [0] * start + reference_embedded.balanced(state, planes - start)
    for level in range(planes + 1):  # the known value at any level is the nearest possible
        known = 0
        for digit in digits[:level]:
            known = 3 * known + digit
        assert abs(state - known * 3 ** (planes - level)) <= 3 ** (planes - level) // 2


@pytest.mark.parametrize("beyond", [1, -1])
def test_rejects_state_out_of_range(beyond: int) -> None:
    states = finest_of(0, 1)
    states[0, 5, 2] = beyond * (QUANTIZER.max_states[5, 0] + 1)
    with pytest.raises(ValueError, match="out of range for its channel"):
        QUANTIZER.digits(states)


@settings(max_examples=50)
@given(st.floats(0.01, 100), st.lists(st.floats(-300, 300, width=32), min_size=1, max_size=9))
def test_quantize_gives_the_nearest_state(base_step: float, values: list[float]) -> None:
    quantizer = EmbeddedQuantizer(layout_of(4, (1,), base_step))
    latents = np.array([values], np.float32)
    states = quantizer.quantize(latents)
    assert states.dtype == np.int32
    assert np.abs(states).max() <= 13
    width = float(quantizer.intervals[4])
    inside = np.abs(latents) <= 13.5 * width
    assert (np.abs(latents - states * width)[inside] <= (0.5 + 1e-4) * width).all()
    assert (np.sign(states) == np.sign(latents))[~inside].all()


def test_infinite_latents_are_clipped() -> None:
    states = QUANTIZER.quantize(np.full((len(STARTS), 2), [np.inf, -np.inf], np.float32))
    np.testing.assert_array_equal(states, QUANTIZER.max_states * [1, -1])


@pytest.mark.parametrize("layers", [1, 2])
def test_refined_latents_reconstruct_their_values(layers: int) -> None:
    """Step by step, and symbol by symbol within each step."""
    finest = finest_of(3, layers)
    digits, latents = QUANTIZER.digits(finest), DecodedLatents(QUANTIZER, (layers, 2, 3))
    rng = np.random.default_rng(3)
    levels = np.broadcast_to(np.array(STARTS)[:, None], finest.shape).copy()
    for step in QUANTIZER.steps:
        digits_of_step = digits[step.plane][:, step.channels].astype(np.float32)
        places = rng.permutation(digits_of_step.size)
        for known in {0, 1, digits_of_step.size // 2, digits_of_step.size}:
            some = places[:known]
            values, levels_found = latents.reconstruct_partial(
                step, some, digits_of_step.reshape(-1)[some]
            )
            marked = np.zeros(digits_of_step.size, int)
            marked[some] = 1
            expected = levels.copy()
            expected[:, step.channels] += marked.reshape(digits_of_step.shape)
            assert_reconstructed(values, levels_found, finest, expected)
        latents.refine(step, digits_of_step)
        levels[:, step.channels] += 1
        assert_reconstructed(*latents.reconstruct(), finest, levels)
    np.testing.assert_array_equal(latents.states, finest)
    assert (levels == PLANES).all()


def assert_reconstructed(
    values: np.ndarray, levels_found: np.ndarray, finest: np.ndarray, levels: np.ndarray
) -> None:
    """Each value is the middle of its interval, so the final value is within half of it."""
    assert values.dtype == levels_found.dtype == np.float32
    assert values.shape == levels_found.shape == (*finest.shape[:2], 2, 3)
    np.testing.assert_array_equal(levels_found.reshape(finest.shape), levels)
    width = LAYOUT.base_step / 3.0**levels
    states = values.reshape(finest.shape) / width
    np.testing.assert_allclose(states, np.rint(states), atol=1e-4)
    exact = np.rint(finest / 3.0 ** (PLANES - levels))  # never exactly half: powers of 3 are odd
    started = levels > np.array(STARTS)[:, None]
    np.testing.assert_array_equal(np.rint(states), np.where(started, exact, 0))
