"""Fits the integer tables of the first look of format 8: the coefficients of group 0.

As `context_fit`, for docs/bitstream.md's "Probabilities of the first look". The model is linear and
its tables are part of the smallest client, so it is fitted with all taps first, and then with those
that are worth most.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from thumbstream.codec.lapped.params import CLASSES, MAX_TAP, MAX_VALUE, NODES, LappedParams
from thumbstream.codec.lapped.probabilities import UNIT_SCALE
from thumbstream_models.lapped import states
from thumbstream_models.lapped.config import ContextConfig
from thumbstream_models.lapped.context_fit import classes_of
from thumbstream_models.lapped.descent import Descent

CHOSEN_AT, ROUNDED_FROM = 0.4, 0.7
"""Fractions of the steps after which taps are chosen, and weights rounded."""
FIRST_START = -320
"""Coefficients start when ``base + 32 p`` reaches this."""
_LOW = 4
"""Sums of magnitudes are over frequencies below this, in both directions."""
_INT8 = 127
_SCALE_STEPS, _SLOPE_STEPS, _ACTIVITY_STEPS, _TAP_STEPS = 1.0, 64.0, 256.0, 64.0
"""Integers per unit of the scale's index; of the values' taps per unit of value."""
_BASE_STEPS = 16
"""Of sums of the table's entries."""
_SIDE = 2 * MAX_TAP + 1
_PENALTY = 1e-3
"""Of the sum of the taps' magnitudes, until they are chosen."""
_WARMUP_STEPS, _FINAL_RATE = 50, 0.01
_SMALL_CELLS = 16


class LookModel(nn.Module):
    """Probabilities of coefficients in floating point on the integer grid."""

    kept_values: Tensor
    """``(K, K, 7, 7)``: 1 for taps that are chosen."""
    kept_magnitudes: Tensor

    def __init__(self, params: LappedParams) -> None:
        super().__init__()
        self.params, self.rounded = params, False
        count = params.first

        def zeros(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.zeros(*shape))

        self.scale, self.slope = zeros(count, NODES, NODES), zeros(count)
        self.activity = zeros(count, count)
        taps = (count, count, _SIDE, _SIDE)
        self.magnitudes, self.values, self.low = zeros(*taps), zeros(*taps), zeros(*taps)
        self.register_buffer("kept_values", torch.ones(taps))
        self.register_buffer("kept_magnitudes", torch.ones(taps))

    @torch.no_grad()
    def start_from(self, y: Tensor) -> None:
        """Start at static scales of coefficients ``(B, K, h, w)``."""
        spread = y.abs().mean(0).clamp_min(0.05)
        index = states.SCALE_OCTAVE * torch.log2(spread / states.step_of(0)) + UNIT_SCALE
        index = index - _size_change(*y.shape[2:])
        down, across = (torch.tensor([min(f, n - 1) for f in (0, 1, 3)]) for n in y.shape[2:])
        table = index[:, down][:, :, across]
        # Higher frequencies continue the slope of the last octave.
        for _ in range(3, NODES):
            table = torch.cat([table, 2 * table[:, -1:] - table[:, -2:-1]], 1)
        for _ in range(3, NODES):
            table = torch.cat([table, 2 * table[..., -1:] - table[..., -2:-1]], 2)
        self.scale.copy_(table)

    def forward(self, y: Tensor, plane: int) -> Tensor:
        """Bits of the symbols of a plane in ``y`` ``(B, K, h, w)``: the same shape, else 0."""
        classes = classes_of(y, y.shape[1])
        levels = states.last_levels(classes, plane - 1)
        base = self.base(y.shape[2], y.shape[3])
        begun = self.begin(base, classes)
        integers = states.integers(y, levels)
        x = states.values(integers, levels, plane).clamp(-MAX_VALUE, MAX_VALUE)
        m = states.magnitudes(x)
        mean, scale = self._context(x, m, base, plane)
        coded = (classes == plane % CLASSES) & (begun <= plane)
        # One number for the level of all: those that are not coded now count for nothing.
        before = torch.where(coded, integers, 0.0)
        bits: Tensor = states.bits(y, before, plane, mean, scale)
        return torch.where(coded, bits, 0.0)

    def base(self, rows: int, columns: int) -> Tensor:
        """Of the coefficients, in units of the scale's index: ``(K, h, w)``."""
        down, across = (_places(count) for count in (rows, columns))
        table = down @ self._on_grid(self.scale, _SCALE_STEPS) @ across.T
        table = self._floored(table * _BASE_STEPS) / _BASE_STEPS
        return table + _size_change(rows, columns)

    def begin(self, base: Tensor, classes: Tensor) -> Tensor:
        """First planes of coefficients ``(K, h, w)``."""
        least = torch.ceil((FIRST_START - base.detach() * _BASE_STEPS) / 32).long().clamp_min(0)
        return least + (classes - least) % CLASSES

    def _context(self, x: Tensor, m: Tensor, base: Tensor, plane: int) -> tuple[Tensor, Tensor]:
        """Mean and scale, ``(B, K, h, w)`` each."""
        sums = m[:, :, :_LOW, :_LOW].sum((2, 3))
        activity = self._on_grid(self.activity, _ACTIVITY_STEPS)
        activity = self._floored(sums @ activity.T * _TAP_STEPS) / _TAP_STEPS
        weights = self._on_grid(self.magnitudes, _TAP_STEPS) * self.kept_magnitudes
        near = functional.conv2d(m, weights, padding=MAX_TAP)
        slope = self._on_grid(self.slope, _SLOPE_STEPS)[:, None, None]
        scale = base + 2 * plane + slope * plane + activity[:, :, None, None] + near
        rows, columns = (torch.arange(n) for n in x.shape[2:])
        place = rows[:, None] + columns
        part = torch.floor((258 + place) / (2 * (2 + place))) / 64
        values, low = (
            functional.conv2d(x, self._on_grid(w, _TAP_STEPS) * self.kept_values, padding=MAX_TAP)
            for w in (self.values, self.low)
        )
        mean = values + part * low
        return self._floored(mean), states.limited_scale(self._floored(scale))

    @torch.no_grad()
    def choose(self, config: ContextConfig) -> None:
        """Keep the taps of the largest weights; the penalty has made those of little use small."""
        worth = self.values.abs() + self.low.abs() / 2
        self.kept_values.copy_(_largest(worth, config.value_taps))
        self.kept_magnitudes.copy_(_largest(self.magnitudes.abs(), config.magnitude_taps))

    @torch.no_grad()
    def tables(self) -> dict[str, NDArray[np.generic]]:
        """The published integers, by their names in look.npz."""

        def integers(value: Tensor, steps: float) -> NDArray[np.int8]:
            return (value * steps).round().clamp(-_INT8, _INT8).numpy().astype(np.int8)

        def taps(kept: Tensor, *weights: Tensor) -> NDArray[np.int8]:
            places = np.argwhere(kept.numpy() > 0)
            columns = [integers(w, _TAP_STEPS)[tuple(places.T)] for w in weights]
            some = np.any(columns, 0)
            places = places - (0, 0, MAX_TAP, MAX_TAP)
            table = np.column_stack([places, *columns])[some]
            return table.reshape(-1, 4 + len(weights)).astype(np.int8)

        return {
            "scale": integers(self.scale, _SCALE_STEPS),
            "slope": integers(self.slope, _SLOPE_STEPS),
            "activity": integers(self.activity, _ACTIVITY_STEPS),
            "magnitudes": taps(self.kept_magnitudes, self.magnitudes),
            "values": taps(self.kept_values, self.values, self.low),
        }

    def _on_grid(self, value: Tensor, steps: float) -> Tensor:
        value = value.clamp(-_INT8 / steps, _INT8 / steps)
        if not self.rounded:
            return value
        return value + ((value * steps).round() / steps - value).detach()

    def _floored(self, x: Tensor) -> Tensor:
        return x + (torch.floor(x + 1e-3) - x).detach() if self.rounded else x


def fit(
    latents: Sequence[Tensor], params: LappedParams, config: ContextConfig, *, quiet: bool = False
) -> LookModel:
    """The model for coefficients ``(B, K, h, w)``, one tensor for each size of pictures."""
    torch.manual_seed(config.seed)
    model = LookModel(params)
    model.start_from(latents[0])
    weights = _plane_weights(model, latents[0])
    planes = sorted(weights)
    rates = {"scale": 0.1, "slope": 1e-3, "activity": 2e-3, "magnitudes": 5e-3}
    descent = Descent(model, rates, 2e-3)
    for step in tqdm(range(config.steps), unit="step", desc="first look", disable=quiet):
        if step == int(CHOSEN_AT * config.steps):
            model.choose(config)
        model.rounded = step >= ROUNDED_FROM * config.steps
        y = latents[0] if step % 3 else latents[step // 3 % len(latents)]
        cells = y.shape[2] * y.shape[3]
        batch = y[torch.randint(len(y), (max(1, config.batch_size * _SMALL_CELLS // cells),))]
        plane = planes[step % len(planes)]
        spent = model(batch, plane).sum() / (len(batch) * cells / _SMALL_CELLS) / 8
        loss = spent * weights[plane]
        if step < CHOSEN_AT * config.steps:
            taps = (model.values, model.low, model.magnitudes)
            loss = loss + _PENALTY * sum(t.abs().sum() for t in taps) / len(planes)
        swing = (1 + math.cos(math.pi * step / config.steps)) / 2
        swing = min(1.0, (step + 1) / _WARMUP_STEPS) * (_FINAL_RATE + (1 - _FINAL_RATE) * swing)
        descent.step(loss, swing)
    descent.finish()
    model.rounded = True
    return model


@torch.no_grad()
def bytes_by_plane(model: LookModel, y: Tensor) -> Iterator[tuple[int, float]]:
    """Planes, and mean bytes of a picture in each."""
    for plane in range(model.params.planes):
        yield plane, float(model(y, plane).sum()) / len(y) / 8


def _plane_weights(model: LookModel, y: Tensor) -> dict[int, float]:
    """Of planes with symbols: one over the bytes that streams have when they end."""
    total, weights = 1.0, {}
    for plane, spent in bytes_by_plane(model, y[:256]):
        # After the first look, more than half of a stream is of the other groups.
        total += spent * (1.0 if plane < model.params.look else 4.0)
        if spent > 0:
            weights[plane] = 1 / max(4.0, total)
    return weights


def _size_change(rows: int, columns: int) -> float:
    """A picture of more cells than 4 x 4 has larger coefficients."""
    return round(64 * math.log2(rows * columns) - 256) / _BASE_STEPS


def _largest(worth: Tensor, count: int) -> Tensor:
    """1 for the ``count`` largest."""
    least = worth.flatten().topk(min(count, worth.numel())).values[-1]
    return (worth >= least.clamp_min(1e-9)).float()


def _places(count: int) -> Tensor:
    """``(count, NODES)``: weights of the nodes, in sixteenths."""
    place = torch.round(16 * torch.log2(1 + torch.arange(count).double())) / 16
    return (1 - (place[:, None] - torch.arange(NODES)).abs()).clamp_min(0).float()
