"""Fits the integer model of ``thumbstream.codec.iterative.context`` to a trained network's codes.

Every forward pass rounds the weights to the published integer grid (with a straight-through
gradient), so the loss is the rate of the range coder. The networks of the iterations are
independent and are fitted one after another.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from thumbstream.codec.iterative.context import HALVES_PER_PLANE, SOURCES, TAPS
from thumbstream.codec.model_folder import HIDDEN_MAX, LOGIT_SHIFT
from thumbstream_models.paper import networks
from thumbstream_models.training.probability_table import probability_table

HIDDEN = 32
"""Hidden units of each iteration's network."""
SCALE = 32
"""Integer steps per unit, of weights and of hidden values."""
LOGIT_STEPS = SCALE * SCALE >> LOGIT_SHIFT
"""Table entries per nat of log odds."""
_INT8 = 127
BATCH_CELLS = 4096
"""Cells in a batch: 256 pictures of 32 x 32."""


def _rounded(x: Tensor, limit: float = math.inf) -> Tensor:
    """``x`` on the integer grid of ``1 / SCALE``, gradient straight through."""
    grid = (x * SCALE).round().clamp(-limit, limit) / SCALE
    return x + (grid - x).detach()


class IterationModel(nn.Module):
    """The context network of one iteration, in floating point on the integer grid."""

    def __init__(self, planes: int) -> None:
        super().__init__()
        self.planes = planes
        self.w1 = nn.Parameter(torch.randn(SOURCES, planes, TAPS, HIDDEN) * 0.05)
        self.b1 = nn.Parameter(torch.rand(planes * HALVES_PER_PLANE, HIDDEN))
        self.w2 = nn.Parameter(torch.randn(planes * HALVES_PER_PLANE, HIDDEN) * 0.1)
        self.b2 = nn.Parameter(torch.zeros(planes * HALVES_PER_PLANE))

    def forward(self, current: Tensor, earlier: Tensor) -> Tensor:
        """Log odds of every code.

        ``current`` ``(B, planes, h, w)``; ``earlier`` ``(B, 2 planes, h, w)``: the iteration
        before, then the one before that. Returns ``(B, planes, h, w)``.
        """
        planes = self.planes
        w1 = _rounded(self.w1, _INT8).transpose(2, 3)  # (sources, planes, hidden, taps)
        before = w1[1:].permute(2, 0, 1, 3).reshape(HIDDEN, (SOURCES - 1) * planes, 3, 3)
        base = functional.conv2d(earlier, before, padding=1)
        now = w1[0].reshape(planes * HIDDEN, 1, 3, 3)
        even = _even_squares(current)
        full = functional.conv2d(current, now, padding=1, groups=planes)
        part = functional.conv2d(current * even, now, padding=1, groups=planes)
        shape = (len(current), planes, HIDDEN, *current.shape[2:])
        full, part = full.view(shape), part.view(shape)
        known = base[:, None] + full.cumsum(1) - full  # earlier planes
        b1 = _rounded(self.b1).view(planes, HALVES_PER_PLANE, HIDDEN, 1, 1)
        w2 = _rounded(self.w2, _INT8).view(planes, HALVES_PER_PLANE, HIDDEN, 1, 1)
        b2 = self.b2.view(planes, HALVES_PER_PLANE, 1, 1)
        odds = []
        for half, sums in enumerate((known, known + part)):
            hidden = (sums + b1[:, half]).clamp(0, HIDDEN_MAX / SCALE)
            odds.append((hidden * w2[:, half]).sum(2) + b2[:, half])
        return torch.where(even > 0, odds[0], odds[1])


def _even_squares(like: Tensor) -> Tensor:
    rows, columns = like.shape[2:]
    parity = torch.arange(rows)[:, None] + torch.arange(columns)[None]
    return (parity % 2 == 0).to(like).expand(1, 1, rows, columns)


def fit_iteration(
    batches: list[NDArray[np.int8]], iteration: int, *, steps: int, seed: int
) -> tuple[IterationModel, float]:
    """Fit one iteration's network; returns it and its mean rate in bits per code.

    ``batches``: code arrays ``(n, iterations, planes, rows, columns)``, one per picture size.
    """
    torch.manual_seed(seed + iteration)
    rng = np.random.default_rng((seed, iteration))
    model = IterationModel(batches[0].shape[2])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    rate = math.nan
    for step in range(steps):
        codes = batches[step % len(batches)]
        count = max(32, BATCH_CELLS // (codes.shape[3] * codes.shape[4]))
        chosen = codes[rng.integers(len(codes), size=count)]
        x = torch.from_numpy(chosen.astype(np.float32))
        nothing = torch.zeros_like(x[:, 0])
        earlier = [x[:, iteration - s] if iteration >= s else nothing for s in range(1, SOURCES)]
        current = x[:, iteration]
        odds = model(current, torch.cat(earlier, 1))
        loss = functional.binary_cross_entropy_with_logits(odds, (current > 0).float())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        bits = float(loss.detach()) / math.log(2)
        rate = bits if math.isnan(rate) else 0.97 * rate + 0.03 * bits
    return model, rate


def fit(
    batches: list[NDArray[np.int8]], *, steps: int = 1200, seed: int = 1, quiet: bool = False
) -> tuple[dict[str, NDArray[np.generic]], list[float]]:
    """Integer tables of `thumbstream.codec.iterative.context`, and bits per code by iteration."""
    iterations = batches[0].shape[1]
    models, rates = [], []
    for t in tqdm(range(iterations), unit="iteration", desc="context model", disable=quiet):
        model, rate = fit_iteration(batches, t, steps=steps, seed=seed)
        models.append(model)
        rates.append(rate)

    def integers(
        name: str, dtype: type[np.signedinteger], scale: int, limit: int
    ) -> NDArray[np.generic]:
        values = torch.stack([getattr(model, name).detach() for model in models])
        return (values * scale).round().clamp(-limit, limit).numpy().astype(dtype)

    tables: dict[str, NDArray[np.generic]] = {
        "w1": integers("w1", np.int8, SCALE, _INT8),
        "b1": integers("b1", np.int16, SCALE, 2**15 - 1),
        "w2": integers("w2", np.int8, SCALE, _INT8),
        "b2": integers("b2", np.int32, SCALE * SCALE, 2**20),
        "probability": probability_table(LOGIT_STEPS),
    }
    return tables, rates


@torch.no_grad()
def codes_of(
    net: networks.Compressor, pictures: Iterator[Tensor], iterations: int
) -> NDArray[np.int8]:
    """Codes ``(n, iterations, planes, rows, columns)`` of batches ``(B, 3, H, W)`` in [-1, 1]."""
    net.eval()
    out = []
    for x in pictures:
        with torch.autocast(x.device.type, torch.bfloat16):
            codes, _ = net(x, iterations)
        out.append(torch.stack(codes, 1).to(torch.int8).cpu().numpy())
    return np.concatenate(out)
