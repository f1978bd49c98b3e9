"""Optimizer step and validation of all stages.

Each picture of a batch has a quality, which determines the quantization of its latents and the
weight of its distortion. The rate model sees latents with uniform noise of one step (Balle et
al. 2017), the synthesis network rounded ones with a straight-through gradient (Theis et al. 2017).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import Module

from thumbstream_models.embedded import weight_rounding
from thumbstream_models.embedded.codec_config import (
    STAGES,
    STRIDE,
    EmbeddedConfig,
    EmbeddingConfig,
    StageConfig,
    SynthesisConfig,
)
from thumbstream_models.embedded.quantization_noise import Quantizer, Truncated, Uniform
from thumbstream_models.embedded.rate_distortion import (
    balanced,
    distortion,
    lagrangian,
    squared_error,
)
from thumbstream_models.embedded.symbol_layout import Layout
from thumbstream_models.embedded.transform_networks import Transform, width_of
from thumbstream_models.training import runs
from thumbstream_models.training.ssim import ssim

Run: TypeAlias = runs.Run[EmbeddedConfig, Transform]

BUDGETS = {32: (24, 32, 64, 128, 256), 64: (64, 128, 256)}
"""Bytes at which held-out pictures of each size are measured."""
VALIDATION_PICTURES = {32: 256, 64: 64}
_VALIDATION_QUALITIES = 16


class Rate(Protocol):
    """Rate of latents."""

    def __call__(self, sent: Tensor, y_hat: Tensor, step: Tensor) -> Tensor:
        """Bits ``(B,)`` of latents ``sent``, given rounded ones: ``(B, C, h, w)`` each."""


@dataclass(frozen=True, slots=True)
class CodedBatch:
    """Rate and reconstruction of a batch."""

    bits: Tensor
    """``(B,)``, by the rate model."""
    x_hat: Tensor
    """``(B, 3, H, W)``."""


def encode_decode(
    net: Transform,
    x: Tensor,
    quality: Tensor,
    quantizer: Quantizer,
    *,
    noisy: bool = False,
    weight_bits: int | None = None,
    rate: Rate | None = None,
) -> CodedBatch:
    """Code pictures ``(B, 3, H, W)`` at qualities ``(B,)``.

    ``rate`` measures ``noisy`` latents or the rounded ones of streams; without it bits are 0. With
    ``weight_bits`` the synthesis weights are rounded.
    """
    with torch.autocast(x.device.type, torch.bfloat16):
        y = net.analysis(x)
        step = quantizer.steps(quality, y)
        y_hat = quantizer.rounded(y, step)
        sent = y + (torch.rand_like(y) - 0.5) * step if noisy else y_hat
        bits = y.new_zeros(len(x)) if rate is None else rate(sent, y_hat, step)
        inputs = y_hat, width_of(step)
        if weight_bits is None:
            return CodedBatch(bits, net.synthesis(*inputs))
        scales = quantizer.weight_scales()
        x_hat = weight_rounding.straight_through(net.synthesis, weight_bits, *inputs, scales=scales)
        return CodedBatch(bits, x_hat)


@dataclass(frozen=True, slots=True)
class Stage:
    """The stage of a run, and its layout."""

    name: str
    """One of `STAGES`."""
    layout: Layout | None
    """None in the first."""

    def schedule(self, config: EmbeddedConfig) -> StageConfig:
        """Its section of the configuration."""
        section: StageConfig = getattr(config, self.name)
        return section

    def quantizer(self, device: torch.device) -> Quantizer:
        """Quantizer of its latents."""
        return Uniform() if self.layout is None else Truncated(self.layout, device)

    def rate(self, run: Run) -> Rate:
        """The rate model of the run's step.

        A large one in the first stage. In the second, where the order of the channels is known, the
        lean one is trained as well and then replaces it, so the transform never follows a bad one.
        """
        net = run.net
        if self.layout is None:
            return lambda *latents: _summed(net.rate(*latents))
        order = torch.tensor(self.layout.order)
        first, last = run.config.embedding.handover
        part = min(1.0, max(0.0, (run.step - first) / (last - first)))

        def handing_over(sent: Tensor, y_hat: Tensor, step: Tensor) -> Tensor:
            if part == 0:
                lean = _summed(net.lean(sent.detach(), y_hat.detach(), step, order))
                return _summed(net.rate(sent, y_hat, step)) + (lean - lean.detach())
            bits = part * _summed(net.lean(sent, y_hat, step, order))
            if part < 1:
                bits = bits + (1 - part) * _summed(net.rate(sent, y_hat, step))
            return bits

        return handing_over

    def weight_bits(self, run: Run) -> int | None:
        """Bits of the rounded synthesis weights at the run's step; None: not rounded yet."""
        config = self.schedule(run.config)
        if not isinstance(config, EmbeddingConfig | SynthesisConfig):
            return None
        rounded = run.step >= config.quantise_from * config.steps
        return run.config.embedding.weight_bits if rounded else None

    @contextmanager
    def gradients(self, net: Transform) -> Iterator[None]:
        """Enables gradients only for the networks that this stage trains."""
        fixed: tuple[Module, ...] = ()
        if self.name == STAGES[1]:
            fixed = (net.rate,)
        elif self.name == STAGES[2]:
            fixed = (net.analysis, net.rate, net.lean)
        for module in fixed:
            module.requires_grad_(False)
        try:
            yield
        finally:
            net.requires_grad_(True)


def _summed(bits: Tensor) -> Tensor:
    """Bits of latents ``(B, C, h, w)`` to those of pictures ``(B,)``."""
    return bits.sum((1, 2, 3))


def train_step(run: Run, stage: Stage, pixels: NDArray[np.uint8], device: torch.device) -> float:
    """One optimizer step on one batch; returns the loss."""
    config = stage.schedule(run.config)
    runs.step_rng(config.seed, run.step)
    x = runs.to_tensor(pixels, device)
    quality = qualities(config, len(x)).to(device)
    with stage.gradients(run.net):
        result = encode_decode(
            run.net,
            x,
            quality,
            stage.quantizer(device),
            noisy=True,
            weight_bits=stage.weight_bits(run),
            rate=None if stage.name == STAGES[-1] else stage.rate(run),
        )
        bytes_per_cell = result.bits / 8 / (x.shape[-1] * x.shape[-2] / STRIDE**2)
        weight = lagrangian(quality)
        cost = bytes_per_cell + weight * distortion(x, result.x_hat, config.ssim_weight)
        return runs.optimizer_step(run, balanced(cost, weight).mean(), config)


def qualities(config: StageConfig, count: int) -> Tensor:
    """Random qualities of the pictures of a batch: ``(count,)``."""
    (low, high), (common_low, common_high) = config.qualities, config.common_qualities
    selector, position = torch.rand(2, count)
    common = common_low + (common_high - common_low) * position
    anywhere = low + (high - low) * position
    return torch.where(selector < config.common_chance, common, anywhere)


@torch.no_grad()
def validate(
    run: Run, stage: Stage, held_out: dict[int, NDArray[np.uint8]], device: torch.device
) -> dict[str, Any]:
    """Quality at the bytes of `BUDGETS`, by the likelihood of the rate model."""
    config = stage.schedule(run.config)
    grid = np.linspace(*config.qualities, _VALIDATION_QUALITIES)
    bits, quantizer, rate = stage.weight_bits(run), stage.quantizer(device), stage.rate(run)
    point: dict[str, Any] = {}
    with runs.averaged_weights(run) as net, torch.random.fork_rng():
        torch.manual_seed(1)
        for size, pixels in held_out.items():
            x = runs.to_tensor(pixels[: VALIDATION_PICTURES[size]], device)
            rows = []
            for quality in grid:
                each = torch.full((len(x),), float(quality), device=device)
                result = encode_decode(net, x, each, quantizer, weight_bits=bits, rate=rate)
                rows.append(measured(x, result.x_hat) | {"bytes": float(result.bits.mean() / 8)})
            point |= at_budgets(rows, size)
    return point


def measured(x: Tensor, x_hat: Tensor) -> dict[str, float]:
    """Mean ``ssim`` and ``psnr`` over the pictures."""
    psnr = 10 * torch.log10(255**2 / squared_error(x, x_hat))
    return {"ssim": float(ssim(x, x_hat).mean()), "psnr": float(psnr.mean())}


def at_budgets(rows: list[dict[str, float]], size: int) -> dict[str, float]:
    """Qualities at the bytes of `BUDGETS` within the mean rates, by interpolation.

    Keys like ``ssim_32px_64``: at 64 bytes for pictures of 32 x 32.
    """
    rows = sorted(rows, key=lambda row: row["bytes"])
    rates = [row["bytes"] for row in rows]
    point = {}
    for name, digits in (("ssim", 4), ("psnr", 3)):
        for budget in BUDGETS[size]:
            if rates[0] <= budget <= rates[-1]:
                value = np.interp(np.log(budget), np.log(rates), [row[name] for row in rows])
                point[f"{name}_{size}px_{budget}"] = round(float(value), digits)
    return point
