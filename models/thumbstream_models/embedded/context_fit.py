"""Fits the integer context model of the embedded family to the digits of training pictures.

The model is that of `thumbstream.codec.embedded.context`. It is fitted in floating point first,
then with weights rounded to the integer grid of the tables (and a straight-through gradient), so
the final loss is the rate of the range coder.
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

from thumbstream.codec.embedded.context import CLIP, DECISIONS, FEATURES, MAX_RESIDUAL, VALUES
from thumbstream.codec.embedded.params import EmbeddedParams
from thumbstream.codec.model_folder import HIDDEN_MAX, TABLE_SIZE
from thumbstream_models.embedded.codec_config import ContextConfig
from thumbstream_models.embedded.symbol_layout import ladder
from thumbstream_models.training.probability_table import probability_table

OWN = 5
"""Weights on a channel's own features: three for the first decision, two for the second."""
FIRST_STEPS, WEIGHT_STEPS, UNIT_STEPS, LOGIT_STEPS = 16, 32, 16, 128
"""Integers per unit of the first layer's weights (most bytes of a client), of the other weights and
of hidden units; entries of the probability table per nat."""
SHIFTS = tuple(
    int(math.log2(steps))
    for steps in (
        FIRST_STEPS // UNIT_STEPS,
        WEIGHT_STEPS,
        WEIGHT_STEPS * UNIT_STEPS // LOGIT_STEPS,
    )
)
"""Right shifts of the first layer's sums, the second's and the logits."""
PREDICTOR_STEPS, OFF_STEPS = 64, 32
"""Integers per unit of the predictor's weights; integers per interval of a residual, from this many
to twice as many."""
ROUNDED_FROM = 0.6
"""From this fraction of the steps on, weights are rounded to their grid."""
_INT8, _INT16 = 127, 2**15 - 1
_MOST = HIDDEN_MAX / UNIT_STEPS
_LARGEST_ODDS = TABLE_SIZE / 2 / LOGIT_STEPS
_WARMUP_STEPS = 50
_FINAL_RATE = 0.01
"""Learning rate of the last step as a fraction of the first one."""
_GRADIENT_CLIP = 20.0
_EMA_DECAY = 0.99
_RAREST = 1e-3
"""Limit of the initial probabilities near 0 and 1."""
_SMALL_CELLS = 16
"""Cells of a picture of 32 x 32: batches of larger ones have fewer pictures."""
_SUM_STEPS = WEIGHT_STEPS * UNIT_STEPS
GRIDS = {
    "a": (FIRST_STEPS, _INT8, np.int8),
    "b": (FIRST_STEPS, _INT8, np.int8),
    "b1": (FIRST_STEPS, 2**20, np.int32),
    "m": (WEIGHT_STEPS, _INT8, np.int8),
    "bm": (_SUM_STEPS, 2**20, np.int32),
    "w2": (WEIGHT_STEPS, _INT8, np.int8),
    "w3": (WEIGHT_STEPS, _INT8, np.int8),
    "own": (_SUM_STEPS, _INT16, np.int16),
    "b2": (_SUM_STEPS, 2**20, np.int32),
    "predictor": (PREDICTOR_STEPS, _INT8, np.int8),
    "gain": (_SUM_STEPS / OFF_STEPS, _INT16, np.int16),
}
"""By table: integers per unit, largest integer, stored type."""


class ContextNetworks(nn.Module):
    """The context model in floating point on the integer grid."""

    def __init__(self, layout: EmbeddedParams, hidden: int, middle: int) -> None:
        super().__init__()
        self.layout, self.rounded = layout, False
        groups, planes, channels = len(layout.groups), layout.planes, layout.channels
        inputs = FEATURES * channels

        def normal(*shape: int, spread: float) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape) * spread)

        self.a = normal(inputs, hidden, spread=0.5 / math.sqrt(inputs))
        self.b = nn.Parameter(self.a.detach().clone())
        self.b1 = nn.Parameter(torch.zeros(planes, groups, hidden))
        self.m = normal(hidden, middle, spread=1 / math.sqrt(hidden))
        self.bm = nn.Parameter(torch.zeros(groups, middle))
        self.w2 = normal(DECISIONS, channels, hidden, spread=0.02)
        self.w3 = normal(DECISIONS, channels, middle, spread=0.02)
        self.own = nn.Parameter(torch.zeros(OWN, channels))
        self.b2 = nn.Parameter(torch.zeros(planes, DECISIONS, channels))
        self.predictor = nn.Parameter(torch.zeros(VALUES * channels, channels))
        self.gain = nn.Parameter(torch.zeros(planes, DECISIONS, channels))
        with torch.no_grad():
            self.gain[:, 1] = 4  # keeps the predictor's weights within their grid

    def forward(self, states: list[Tensor], planes: Sequence[int] | None = None) -> Tensor:
        """Bits of each channel in each plane, summed over pictures and cells: ``(planes, C)``.

        ``states`` is the `ladder` of a batch; ``planes`` None means all.
        """
        chosen = range(self.layout.planes) if planes is None else planes
        levels = sorted({level for plane in chosen for level in (plane, plane + 1)})
        table = {name: self._on_grid(name) for name in GRIDS}
        seen = {level: features(states[level]) for level in levels}
        valued = {level: self.values(states[level], level) for level in levels}
        starts = torch.tensor(self.layout.starts)
        bits = []
        for plane in chosen:
            odds = torch.cat(list(self._odds(table, seen, valued, plane)), 2)
            odds = odds.clamp(-_LARGEST_ODDS, _LARGEST_ODDS)
            digits = _rows(states[plane + 1] - 3 * states[plane])
            bits.append(_bits(odds, digits).sum(0) * (starts <= plane))
        return torch.stack(bits)

    def values(self, states: Tensor, level: int) -> Tensor:
        """``(B h w, C, 2)``: states at a level in finest units, and sums over the neighbors."""
        value = states * 3.0 ** (self.layout.planes - level)
        return _cells(torch.stack([value, _around(value)], 2))

    def _odds(
        self,
        table: dict[str, Tensor],
        seen: dict[int, Tensor],
        valued: dict[int, Tensor],
        plane: int,
    ) -> Iterator[Tensor]:
        """Log odds of both decisions in a plane, group after group: ``(2, cells, group)``."""
        before, after = seen[plane], seen[plane + 1]
        sums = before.flatten(1) @ table["a"]
        # In integer steps, which float32 represents exactly for weights on their grid.
        predictor = table["predictor"] * PREDICTOR_STEPS
        predicted = valued[plane].flatten(1) @ predictor
        changes = valued[plane + 1] - valued[plane]
        scale = 2.0 ** -prediction_shift(self.layout.planes, plane)
        first = 0
        for group, size in enumerate(self.layout.groups):
            own = slice(first, first + size)
            rows = slice(FEATURES * first, FEATURES * (first + size))
            unit = floored(sums + table["b1"][plane, group], self.rounded).clamp(0, _MOST)
            middle = unit @ table["m"] + table["bm"][group]
            middle = floored(middle, self.rounded).clamp(0, _MOST)
            odds = unit @ table["w2"][:, own].mT + middle @ table["w3"][:, own].mT
            odds = odds + table["b2"][plane, :, None, own]
            odds = odds + _own(before[:, own], table["own"][:, own])
            off = floored(predicted[:, own] * scale, self.rounded, steps=1)
            off = off.clamp(-MAX_RESIDUAL, MAX_RESIDUAL) / OFF_STEPS
            yield odds + torch.stack([off.abs(), off]) * table["gain"][plane, :, None, own]
            value_rows = slice(VALUES * first, VALUES * (first + size))
            predicted = predicted + changes[:, own].flatten(1) @ predictor[value_rows]
            refined = after[:, own].flatten(1) @ table["b"][rows]
            sums = sums - before[:, own].flatten(1) @ table["a"][rows] + refined
            first += size

    @torch.no_grad()
    def start_from(self, states: list[Tensor]) -> None:
        """Start at the static probabilities of the digits of each plane and channel."""
        for plane in range(self.layout.planes):
            digits = _rows(states[plane + 1] - 3 * states[plane])
            nonzero = (digits != 0).float().mean(0)
            positive = (digits > 0).float().mean(0) / nonzero.clamp_min(_RAREST)
            self.b2[plane] = torch.logit(torch.stack([nonzero, positive]), _RAREST)

    @torch.no_grad()
    def tables(self) -> dict[str, NDArray[np.generic]]:
        """The published integers, by their names in entropy.npz."""
        integers: dict[str, NDArray[np.generic]] = {}
        for name, (steps, most, dtype) in GRIDS.items():
            value = (getattr(self, name) * steps).round().clamp(-most, most)
            integers[name] = value.numpy().astype(dtype)
        return integers | {
            "probability": probability_table(LOGIT_STEPS),
            "shifts": np.array(SHIFTS, np.uint8),
            "prediction_shifts": np.array(
                [prediction_shift(self.layout.planes, p) for p in range(self.layout.planes)],
                np.uint8,
            ),
        }

    def _on_grid(self, name: str) -> Tensor:
        steps, most, _ = GRIDS[name]
        value: Tensor = getattr(self, name)
        value = value.clamp(-most / steps, most / steps)  # the range of the table
        if not self.rounded:
            return value
        return value + ((value * steps).round() / steps - value).detach()


def features(states: Tensor) -> Tensor:
    """Features of states ``(B, C, h, w)``: ``(B h w, C, 4)``.

    The magnitude of the clipped state, the state, and the sums of both over the four neighbors.
    """
    own = states.clamp(-CLIP, CLIP)
    seen = torch.stack([own.abs(), own], 2)
    return _cells(torch.cat([seen, _around(seen)], 2))


def prediction_shift(planes: int, plane: int) -> int:
    """Right shift to `OFF_STEPS` integers per interval of a plane, or up to twice as many."""
    return math.ceil((planes - plane) * math.log2(3) + math.log2(PREDICTOR_STEPS / OFF_STEPS / 2))


def floored(sums: Tensor, rounded: bool, steps: int = UNIT_STEPS) -> Tensor:
    """Sums rounded down to ``steps`` per unit, like a shift; the gradient is straight-through."""
    if not rounded:
        return sums
    # The sums are exact multiples except for float32's last bits, which must not change the result.
    grid = torch.floor(sums * steps + 1e-3) / steps
    return sums + (grid - sums).detach()


def fit(
    latents: list[Tensor],
    layout: EmbeddedParams,
    config: ContextConfig,
    *,
    quiet: bool = False,
) -> ContextNetworks:
    """Networks fitted to latents ``(B, C, h, w)``, one tensor per size of pictures.

    Channels are in the published order. The steps alternate between the sizes; the result is the
    moving average of the weights.
    """
    torch.manual_seed(config.seed)
    model = ContextNetworks(layout, config.hidden, config.middle)
    model.start_from(ladder(latents[0], layout))
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    average = {name: value.detach().clone() for name, value in model.named_parameters()}
    weights = torch.tensor(config.plane_weights)[:, None]
    weights[config.fine_from :] /= config.fine_chance
    for step in tqdm(range(config.steps), unit="step", desc="context model", disable=quiet):
        model.rounded = step >= ROUNDED_FROM * config.steps
        y = latents[step % len(latents)]
        count = max(1, config.batch_size * _SMALL_CELLS // (y.shape[2] * y.shape[3]))
        batch = y[torch.randint(len(y), (count,))]
        fine = bool(torch.rand(()) < config.fine_chance)
        planes = range(layout.planes if fine else config.fine_from)
        spent = model(ladder(batch, layout), planes) / 8
        loss = (spent * weights[: len(planes)]).sum() / (count * y[0, 0].numel() / _SMALL_CELLS)
        for group in optimizer.param_groups:
            group["lr"] = _rate(config, step)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), _GRADIENT_CLIP)
        optimizer.step()
        decay = min(_EMA_DECAY, (step + 1) / (step + 11))
        for name, value in model.named_parameters():
            average[name].lerp_(value.detach(), 1 - decay)
    model.load_state_dict(average)
    model.rounded = True
    return model


@torch.no_grad()
def bits_by_step(model: ContextNetworks, latents: Tensor) -> Tensor:
    """Mean bits of a picture in each plane and group: ``(planes, groups)``."""
    spent = model(ladder(latents, model.layout)) / len(latents)
    return torch.stack([part.sum(1) for part in spent.split(list(model.layout.groups), 1)], 1)


def _rate(config: ContextConfig, step: int) -> float:
    swing = (1 + math.cos(math.pi * step / config.steps)) / 2
    warm = min(1.0, (step + 1) / _WARMUP_STEPS)
    return config.learning_rate * warm * (_FINAL_RATE + (1 - _FINAL_RATE) * swing)


def _own(seen: Tensor, weights: Tensor) -> Tensor:
    """Contribution of a channel's own features ``(n, C, 4)`` to its log odds: ``(2, n, C)``."""
    magnitude, state, magnitudes, states = seen.unbind(2)
    nonzero = weights[0] * (magnitude > 0) + weights[1] * magnitude + weights[2] * magnitudes
    return torch.stack([nonzero, weights[3] * state + weights[4] * states])


def _around(x: Tensor) -> Tensor:
    """Sums over the four neighbors of ``(..., h, w)``; outside is 0."""
    wide = functional.pad(x, (1, 1, 1, 1))
    above, below = wide[..., :-2, 1:-1], wide[..., 2:, 1:-1]
    return above + below + wide[..., 1:-1, :-2] + wide[..., 1:-1, 2:]


def _cells(x: Tensor) -> Tensor:
    """``(B, C, n, h, w)`` to ``(B h w, C, n)``."""
    return x.permute(0, 3, 4, 1, 2).flatten(0, 2)


def _rows(x: Tensor) -> Tensor:
    """``(B, C, h, w)`` to ``(B h w, C)``."""
    return x.permute(0, 2, 3, 1).flatten(0, 2)


def _bits(odds: Tensor, digits: Tensor) -> Tensor:
    """Bits of ternary digits ``(n, C)`` under log odds ``(2, n, C)``."""
    nonzero, positive = (digits != 0).float(), (digits > 0).float()
    loss = functional.softplus(odds[0]) - nonzero * odds[0]
    loss = loss + nonzero * (functional.softplus(odds[1]) - positive * odds[1])
    return loss / math.log(2)
