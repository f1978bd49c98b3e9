"""Fits the integer context model of format 8 to latents of training pictures.

The model is that of docs/bitstream.md, computed for batches: in floating point first, then with
weights rounded to the integers of the tables (with straight-through gradients), so the last loss is
the rate of the range coder. Every plane counts by the bytes that a stream has there: one per cent
is one per cent at every cut.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from thumbstream.codec.lapped.params import (
    CLASSES,
    FEATURES,
    MAX_PREDICTION,
    MAX_VALUE,
    VALUES,
    LappedParams,
)
from thumbstream.codec.lapped.probabilities import MEAN_STEPS, UNIT_SCALE
from thumbstream.codec.model_folder import HIDDEN_MAX
from thumbstream_models.lapped import states
from thumbstream_models.lapped.config import ContextConfig
from thumbstream_models.lapped.descent import Descent
from thumbstream_models.lapped.linear import from_frequencies

ROUNDED_FROM = 0.6
"""From this fraction of the steps on, weights are rounded."""
UNIT_STEPS, SHIFTS = 16, (3, 5, 8, 8)
"""Integers per unit of the hidden layers; right shifts of both layers and both heads."""
_HEAD_STEPS = float(1 << SHIFTS[2]) * states.SCALE_OCTAVE
"""Integers per octave of the scale, and per step of the mean."""
_INT8, _INT16 = 127, 2**15 - 1
GRIDS = {
    "w1": (UNIT_STEPS << SHIFTS[0], _INT8, np.int8),
    "b1": (UNIT_STEPS << SHIFTS[0], 2**20, np.int32),
    "b1_plane": (UNIT_STEPS << SHIFTS[0], _INT16, np.int16),
    "m": (1 << SHIFTS[1], _INT8, np.int8),
    "bm": (UNIT_STEPS << SHIFTS[1], 2**20, np.int32),
    "w2": (_HEAD_STEPS / UNIT_STEPS, _INT8, np.int8),
    "w3": (_HEAD_STEPS / UNIT_STEPS, _INT8, np.int8),
    "b2": (_HEAD_STEPS, 2**20, np.int32),
    "b2_plane": (_HEAD_STEPS, _INT16, np.int16),
    "own": (_HEAD_STEPS, _INT16, np.int16),
    "predictor": (64, _INT8, np.int8),
}
"""By table: integers per unit, largest integer, stored type."""
SPEEDS = {
    "w1": 0.12,
    "b1": 2.0,
    "b1_plane": 0.06,
    "m": 0.6,
    "bm": 2.0,
    "w2": 0.4,
    "w3": 0.4,
    "b2": 2.0,
    "b2_plane": 0.06,
    "own": 0.2,
    "predictor": 0.04,
}
"""Learning rates by table, as factors: the larger a table's inputs, the smaller."""
_MOST = HIDDEN_MAX / UNIT_STEPS
_PREDICTOR_PENALTY = 2e-6
"""Of the sum of its magnitudes: most of its weights are 0, and cost a client next to nothing."""
_WARMUP_STEPS = 50
_FINAL_RATE = 0.01
_SMALL_CELLS = 16
_OF_NEIGHBOURS = torch.tensor([0.0, 0.0, 1.0, 1.0])
"""Odd cells know more of the even cells next to them, not of themselves."""


class ContextModel(nn.Module):
    """The context model in floating point on the integer grid."""

    first_planes: Tensor
    """``(coded,)``."""

    def __init__(
        self, params: LappedParams, first_planes: Tensor, hidden: int, middle: int
    ) -> None:
        super().__init__()
        self.params, self.rounded = params, False
        self.register_buffer("first_planes", first_planes)
        channels, groups = params.channels, len(params.groups) - 1
        coded, inputs = channels - params.first, FEATURES * params.channels

        def normal(*shape: int, spread: float) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape) * spread)

        def zeros(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.zeros(*shape))

        self.w1 = normal(inputs, hidden, spread=0.5 / math.sqrt(inputs))
        self.b1, self.b1_plane = zeros(CLASSES, groups, 2, hidden), zeros(hidden)
        self.m, self.bm = normal(hidden, middle, spread=hidden**-0.5), zeros(groups, middle)
        self.w2, self.w3 = (normal(2, coded, n, spread=0.01) for n in (hidden, middle))
        self.b2, self.b2_plane = zeros(2, 2, coded), zeros(2, coded)
        self.own, self.predictor = zeros(3, coded), zeros(VALUES * channels, coded)

    @torch.no_grad()
    def start_from(self, y: Tensor) -> None:
        """Start at static scales of latents ``(B, C, h, w)``."""
        spread = y[:, self.params.first :].abs().mean((0, 2, 3)).clamp_min(1e-3)
        octaves = torch.log2(spread / states.step_of(0))
        self.b2[:, 0] = octaves + UNIT_SCALE / states.SCALE_OCTAVE
        self.b2_plane[0] = 1 / CLASSES

    def forward(self, y: Tensor, plane: int) -> Tensor:
        """Bits of each symbol of a plane in ``y`` ``(B, C, h, w)``: ``(B h w, n)``.

        The n columns are those of the channels of the plane's class that have started.
        """
        params, kind, now = self.params, plane % CLASSES, torch.tensor(plane)
        chosen = torch.arange(params.first, params.channels)
        chosen = chosen[chosen % CLASSES == kind]
        before, odd = self._before(y, plane), _odd(y)
        after = _described(states.values(states.integers(y[:, chosen], now), now, plane))
        news = [b - a[:, chosen] for a, b in zip(before, after, strict=True)]
        table = {name: self._on_grid(name) for name in GRIDS}
        w1 = table["w1"].view(params.channels, FEATURES, -1)
        predictor = table["predictor"].view(params.channels, VALUES, -1)
        sums = before[0].flatten(1) @ w1.flatten(0, 1)
        linear = before[1].flatten(1) @ predictor.flatten(0, 1)
        bits, end = [linear[:, :0]], params.first
        for group, size in enumerate(params.groups[1:]):
            own = (chosen >= end) & (chosen < end + size)
            targets = chosen[own & (self._started(chosen, plane))]
            seen, valued = (n[:, own] for n in news)
            names = chosen[own]
            beside = seen[:, :, 2:].flatten(1) @ w1[names, 2:].flatten(0, 1)
            beside_linear = valued[:, :, 1] @ predictor[names, 1]
            if len(targets):
                context = sums + odd * beside, linear + odd * beside_linear
                change = odd[:, :, None] * seen[:, self._started(names, plane)]
                own_seen = before[0][:, targets] + change * _OF_NEIGHBOURS
                mean, scale = self._heads(table, context, own_seen, targets, group, plane, odd)
                rows = _rows(y[:, targets])
                integers = states.integers(rows, now - CLASSES)
                bits.append(states.bits(rows, integers, plane, mean, scale))
            sums = sums + seen.flatten(1) @ w1[names].flatten(0, 1)
            linear = linear + valued.flatten(1) @ predictor[names].flatten(0, 1)
            end += size
        return torch.cat(bits, 1)

    def _heads(
        self,
        table: dict[str, Tensor],
        context: tuple[Tensor, Tensor],
        seen: Tensor,
        targets: Tensor,
        group: int,
        plane: int,
        odd: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Mean and scale of the targets in all cells, ``(B h w, n)`` each."""
        sums, linear = context
        coded, kind = targets - self.params.first, plane % CLASSES
        even_bias, odd_bias = table["b1"][kind, group]
        bias = torch.lerp(even_bias, odd_bias, odd) + plane * table["b1_plane"]
        unit = self._floored((sums + bias) * UNIT_STEPS).clamp(0, HIDDEN_MAX) / UNIT_STEPS
        middle = (unit @ table["m"] + table["bm"][group]) * UNIT_STEPS
        middle = self._floored(middle).clamp(0, HIDDEN_MAX) / UNIT_STEPS
        predicted = self._floored(linear[:, coded]).clamp(-MAX_VALUE, MAX_VALUE)
        heads = []
        for head in range(2):
            z = unit @ table["w2"][head, coded].T + middle @ table["w3"][head, coded].T
            even_bias, odd_bias = table["b2"][:, head, coded]
            z = z + torch.lerp(even_bias, odd_bias, odd) + plane * table["b2_plane"][head, coded]
            heads.append(z)
        own = table["own"][:, coded]
        scale = heads[0] + own[0] * seen[:, :, 0] + own[1] * seen[:, :, 2]
        scale = scale + own[2] * predicted.abs().clamp(max=MAX_PREDICTION)
        scale = states.limited_scale(self._floored(scale * states.SCALE_OCTAVE))
        return predicted + self._floored(heads[1] * MEAN_STEPS), scale

    def _before(self, y: Tensor, plane: int) -> tuple[Tensor, Tensor]:
        """Features and values of all channels before the steps of a plane but that of group 0.

        ``(B h w, C, 4)`` and ``(B h w, C, 2)``.
        """
        first, classes = self.params.first, classes_of(y, self.params.first)
        levels = states.last_levels(classes, plane - 1)
        levels[:first] = states.last_levels(classes[:first], max(plane, self.params.look - 1))
        x = states.values(states.integers(y, levels), levels, plane)
        x[:, :first] = torch.round(from_frequencies(x[:, :first]))
        return _described(x)

    def _started(self, channels: Tensor, plane: int) -> Tensor:
        first = self.params.first
        return (channels >= first) & (self.first_planes[(channels - first).clamp_min(0)] <= plane)

    @torch.no_grad()
    def tables(self) -> dict[str, NDArray[np.generic]]:
        """The published integers, by their names in contexts.npz."""
        arrays: dict[str, NDArray[np.generic]] = {}
        for name, (steps, most, dtype) in GRIDS.items():
            value = (getattr(self, name) * steps).round().clamp(-most, most)
            arrays[name] = value.numpy().astype(dtype)
        return arrays | {
            "starts": self.first_planes.numpy().astype(np.uint8),
            "shifts": np.array(SHIFTS, np.uint8),
        }

    def _on_grid(self, name: str) -> Tensor:
        steps, most, _ = GRIDS[name]
        value: Tensor = getattr(self, name)
        value = value.clamp(-most / steps, most / steps)
        if not self.rounded:
            return value
        return value + ((value * steps).round() / steps - value).detach()

    def _floored(self, x: Tensor) -> Tensor:
        if not self.rounded:
            return x
        # Exact multiples but for float32's last bits, which must not change the result.
        return x + (torch.floor(x + 1e-3) - x).detach()


def classes_of(y: Tensor, first: int) -> Tensor:
    """Classes of latents: ``(C, h, w)``."""
    channel = torch.arange(y.shape[1])[:, None, None]
    row, column = torch.arange(y.shape[2])[:, None], torch.arange(y.shape[3])
    frequency = torch.where(channel < first, 3 * row + 2 * column, 0 * (row + column))
    return (channel + frequency) % CLASSES


def fit(
    latents: Sequence[Tensor],
    params: LappedParams,
    config: ContextConfig,
    hidden: int,
    middle: int,
    *,
    quiet: bool = False,
) -> ContextModel:
    """The model for latents ``(B, C, h, w)``, one tensor for each size of pictures.

    The first size has most of the steps. The result is the moving average of the weights.
    """
    torch.manual_seed(config.seed)
    first = params.first
    largest = torch.stack([y[:, first:].abs().amax((0, 2, 3)) for y in latents]).amax(0)
    first_planes = states.starts(largest, torch.arange(first, params.channels) % CLASSES)
    model = ContextModel(params, first_planes, hidden, middle)
    model.start_from(latents[0])
    planes = range(int(first_planes.min()), params.planes)
    weights = _plane_weights(model, latents[0], planes)
    descent = Descent(model, SPEEDS)
    for step in tqdm(range(config.steps), unit="step", desc="context model", disable=quiet):
        model.rounded = step >= ROUNDED_FROM * config.steps
        y = latents[0] if step % 3 else latents[step // 3 % len(latents)]
        cells = y.shape[2] * y.shape[3]
        batch = y[torch.randint(len(y), (max(1, config.batch_size * _SMALL_CELLS // cells),))]
        plane = planes[step % len(planes)]
        spent = model(batch, plane).sum() / (len(batch) * cells / _SMALL_CELLS) / 8
        loss = spent * weights[plane] + _PREDICTOR_PENALTY * model.predictor.abs().sum()
        descent.step(loss, _rate(config, step))
    descent.finish()
    model.rounded = True
    return model


@torch.no_grad()
def _plane_weights(model: ContextModel, y: Tensor, planes: range) -> dict[int, float]:
    """One over the bytes that streams have when a plane ends, by static probabilities."""
    some, total, weights = y[:64], 15.0, {}
    for plane in planes:
        total += 1.2 * float(model(some, plane).sum()) / len(some) / 8
        weights[plane] = 1 / total
    return weights


@torch.no_grad()
def bytes_by_plane(model: ContextModel, y: Tensor) -> Iterator[tuple[int, float]]:
    """Planes, and mean bytes of a picture in each."""
    for plane in range(int(model.first_planes.min()), model.params.planes):
        yield plane, float(model(y, plane).sum()) / len(y) / 8


def _rate(config: ContextConfig, step: int) -> float:
    swing = (1 + math.cos(math.pi * step / config.steps)) / 2
    warm = min(1.0, (step + 1) / _WARMUP_STEPS)
    return config.learning_rate * warm * (_FINAL_RATE + (1 - _FINAL_RATE) * swing)


def _described(x: Tensor) -> tuple[Tensor, Tensor]:
    """Features ``(B h w, C, 4)`` and values ``(B h w, C, 2)`` of `states.values` of cells."""
    m = states.magnitudes(x)
    features = torch.stack([m, m * torch.sign(x)], 2)
    features = torch.cat([features, states.around(features)], 2)
    x = x.clamp(-MAX_VALUE, MAX_VALUE)
    return _cells(features), _cells(torch.stack([x, states.around(x)], 2))


def _odd(y: Tensor) -> Tensor:
    """``(B h w, 1)``: 1 for cells whose row and column add up to an odd number."""
    rows, columns = y.shape[2:]
    odd = (torch.arange(rows)[:, None] + torch.arange(columns)) % 2
    return odd.float().flatten().repeat(len(y))[:, None]


def _cells(x: Tensor) -> Tensor:
    """``(B, C, n, h, w)`` to ``(B h w, C, n)``."""
    return x.permute(0, 3, 4, 1, 2).flatten(0, 2)


def _rows(x: Tensor) -> Tensor:
    """``(B, C, h, w)`` to ``(B h w, C)``."""
    return x.permute(0, 2, 3, 1).flatten(0, 2)
