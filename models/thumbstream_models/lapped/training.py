"""Training the transform: ``thumbstream-models train models/configs/thumbstream-2.toml DATA...``.

The first time, crops of all sizes are made and kept on disk, and the linear transform is fitted to
some of them. Then every step takes a batch of one size, and every picture of it has a quality of
its own. Batches and all else that a step draws come from (seed, step), and a checkpoint holds the
weights, their moving average and the optimizer's state: the same command goes on from the last
checkpoint, and gives the same weights as a run that was never stopped.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thumbstream.codec.lapped.params import SIDE
from thumbstream_models.lapped import linear
from thumbstream_models.lapped.colour import chroma_distance
from thumbstream_models.lapped.config import (
    LappedConfig,
    TrainingConfig,
    from_dict,
)
from thumbstream_models.lapped.distortion import (
    balanced,
    distortion,
    lagrangian,
    squared_error,
)
from thumbstream_models.lapped.model import Coded, Transform
from thumbstream_models.training import crops, precision, runs
from thumbstream_models.training.config import ConfigError
from thumbstream_models.training.ssim import ssim

Run: TypeAlias = runs.Run[LappedConfig, Transform]

CHECKPOINT = "checkpoint.pt"
LINEAR_CROPS = 12_000
"""Crops of the first size that the linear transform is fitted to."""
BUDGETS = {32: (16, 24, 32, 64, 128, 256, 384), 64: (64, 128, 256), 128: (128, 256, 512)}
"""Bytes at which held-out pictures of each size are looked at."""
FIRST_LOOK_BYTES = (8, 12, 16)
VALIDATION_PICTURES = {32: 256, 64: 64, 128: 16}
_VALIDATION_QUALITIES = 20
_LOOK_QUALITIES = np.linspace(-1.0, -0.55, 6)
_BETAS = (0.9, 0.98)
_SIZE_SEED = 7
"""The sizes of batches come from a random sequence of their own."""


def new_run(config: LappedConfig, fitted: linear.LinearTransform, device: torch.device) -> Run:
    """A run at step 0."""
    torch.manual_seed(config.training.seed)
    net = Transform(config.model, fitted)
    net = net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return runs.start(config, net, config.training, _optimizer(net, config.training))


def _optimizer(net: Transform, training: TrainingConfig) -> torch.optim.Optimizer:
    analysis = list(net.analysis.parameters())
    others = [p for name, p in net.named_parameters() if not name.startswith("analysis.")]
    groups: list[dict[str, Any]] = [
        {"params": others},
        {"params": analysis, "speed": training.analysis_speed},
    ]
    return torch.optim.Adam(groups, lr=training.learning_rate, betas=_BETAS, fused=True)


def restore(path: Path, device: torch.device, config: LappedConfig | None = None) -> Run:
    """Read a checkpoint; ``config`` may change all but the networks."""
    saved = torch.load(path, map_location=device, weights_only=True)
    before = from_dict(saved["config"])
    config = config or before
    if config.model != before.model:
        raise ConfigError(f"{path} holds another network than the configuration describes")
    parts = (
        runs.as_floats(saved["net"][f"linear.{name}"]).float()
        for name in ("klt", "rotation", "axes")
    )
    run = new_run(config, linear.LinearTransform(*parts), device)
    runs.load_checkpoint(run, saved)
    return run


def learning_rate(training: TrainingConfig, step: int) -> float:
    """Linear warm-up, then constant, then linear to the final rate in the last steps."""
    warm = min(1.0, (step + 1) / training.warmup_steps)
    left = min(1.0, (training.steps - step) / training.decay_steps)
    final = training.final_learning_rate
    return warm * (final + (training.learning_rate - final) * max(0.0, left))


def choose_precision(run: Run, pixels: NDArray[np.uint8]) -> None:
    """Set the precision of a new run: the one in which the analysis network learns faster."""
    if run.precision:  # as before: going on must give the same weights
        return
    device = next(run.net.parameters()).device
    blocks = run.net.linear.blocks(runs.to_tensor(pixels, device))
    net = run.net.analysis
    run.precision = precision.fastest(net, lambda: net(blocks).float().square().mean(), device)


def size_of(config: LappedConfig, step: int) -> int:
    """Which of the configuration's sizes batch ``step`` has, as an index."""
    drawn = np.random.default_rng((config.training.seed, step, _SIZE_SEED)).random()
    # The last size takes what rounding leaves.
    bounds = np.cumsum(config.crops.frequencies[:-1])
    return int(np.searchsorted(bounds, drawn, side="right"))


def batches(
    stored: list[NDArray[np.uint8]], config: LappedConfig, first: int
) -> Iterator[NDArray[np.uint8]]:
    """All batches from step ``first`` on: ``(batch, size, size, 3)`` uint8 each."""
    for step in range(first, config.training.steps):
        size = size_of(config, step)
        count = config.crops.batch_sizes[size]
        yield crops.batch(stored[size], count, config.training.seed, step)


def qualities_of(config: LappedConfig, size: int) -> tuple[float, float]:
    """The lowest and the highest quality of crops of ``size`` pixels."""
    return config.crops.qualities[config.crops.sizes.index(size)]


def train_step(run: Run, pixels: NDArray[np.uint8]) -> float:
    """One optimizer step on one batch; returns the loss."""
    training = run.config.training
    runs.step_rng(training.seed, run.step)
    x = runs.to_tensor(pixels, next(run.net.parameters()).device)
    low, high = qualities_of(run.config, pixels.shape[1])
    quality = (low + (high - low) * torch.rand(len(x))).to(x.device)
    coded = run.net(x, quality, run.precision, noise=True)
    bytes_per_cell = coded.bits / 8 / (x.shape[2] * x.shape[3] / SIDE**2)
    weight = lagrangian(quality)
    cost = bytes_per_cell + weight * distortion(x, coded.x_hat, quality, run.config.distortion)
    loss = balanced(cost, weight).mean()
    return runs.optimizer_step(run, loss, training, rate=learning_rate(training, run.step))


@torch.no_grad()
def validate(run: Run, held_out: Mapping[int, NDArray[np.uint8]]) -> dict[str, float]:
    """Mean quality of held-out pictures at some numbers of bytes, by likelihood.

    Keys like ``ssim_32px_64``: at 64 bytes for pictures of 32 x 32; ``first_look_ssim_16``: of the
    first group's latents alone, without a network. Each picture is interpolated to the bytes.
    ``analysis``: how much the analysis adds; near 0 if its units are dead.
    """
    device = next(run.net.parameters()).device
    point: dict[str, float] = {}
    with runs.averaged_weights(run) as net, torch.random.fork_rng():
        torch.manual_seed(1)
        for size, pixels in held_out.items():
            x = runs.to_tensor(pixels[: VALIDATION_PICTURES[size]], device)
            rows = []
            low, high = qualities_of(run.config, size)
            for quality in np.linspace(low, high, _VALIDATION_QUALITIES):
                each = torch.full((len(x),), float(quality), device=device)
                coded = net(x, each, run.precision)
                rows.append(_measured(x, coded))
            point |= at_budgets(rows, BUDGETS[size], f"{{}}_{size}px_{{}}")
            if size == min(held_out):
                looks = (net.first_look(x, float(u), run.precision) for u in _LOOK_QUALITIES)
                rows = [_measured(x, coded) for coded in looks]
                point |= at_budgets(rows, FIRST_LOOK_BYTES, "first_look_{}_{}")
                point["analysis"] = round(_analysis_share(net, x), 4)
    return point


def _analysis_share(net: Transform, x: Tensor) -> float:
    """Root mean square of what the analysis adds to latents, as a share of theirs."""
    blocks = net.linear.blocks(x)
    added, latents = net.analysis(blocks), net.linear(blocks)
    return float((added.square().mean() / latents.square().mean()).sqrt())


def at_budgets(
    rows: list[dict[str, NDArray[np.float64]]], budgets: tuple[int, ...], key: str
) -> dict[str, float]:
    """Means over pictures at bytes, interpolated in the logarithm of each picture's bytes."""
    rates = np.log(np.stack([row["bytes"] for row in rows]))
    order = np.argsort(rates, axis=0)
    rates = np.take_along_axis(rates, order, 0)
    point = {}
    for name in ("ssim", "psnr", "chroma"):
        values = np.take_along_axis(np.stack([row[name] for row in rows]), order, 0)
        for budget in budgets:
            at = [np.interp(np.log(budget), r, v) for r, v in zip(rates.T, values.T, strict=True)]
            point[key.format(name, budget)] = round(float(np.mean(at)), 4)
    return point


def _measured(x: Tensor, coded: Coded) -> dict[str, NDArray[np.float64]]:
    """Of each picture: bytes, SSIM, PSNR and `chroma_distance`."""
    x_hat = runs.to_tensor(runs.to_pixels(coded.x_hat), x.device)
    psnr = 10 * torch.log10(255**2 / squared_error(x, x_hat).clamp_min(1e-3))
    measured = {
        "bytes": coded.bits.clamp_min(1) / 8,
        "ssim": ssim(x, x_hat),
        "psnr": psnr,
        "chroma": chroma_distance(x, x_hat),
    }
    return {name: value.double().cpu().numpy() for name, value in measured.items()}


def train(
    config: LappedConfig,
    sources: list[Path],
    out: Path,
    *,
    resume: Path | None = None,
    max_minutes: float | None = None,
    device_name: str | None = None,
) -> Run:
    """Train until the last step, ``max_minutes`` or a signal, whichever comes first.

    Goes on from ``resume``, or from the checkpoint in ``out`` if there is one. Writes
    ``checkpoint.pt`` and ``curve.jsonl`` into ``out``.
    """
    device = runs.device_of(device_name)
    out.mkdir(parents=True, exist_ok=True)
    if resume is None and (out / CHECKPOINT).exists():
        resume = out / CHECKPOINT
    stored = [
        crops.load(sources, dataclasses.replace(config.data, size=size), per_picture=count)
        for size, count in zip(config.crops.sizes, config.crops.per_picture, strict=True)
    ]
    if resume is not None:
        run = restore(resume, device, config)
    else:
        run = new_run(config, fitted_linear(stored[0].training, config), device)
    run.data_sha256 = stored[0].sha256
    choose_precision(run, crops.batch(stored[0].training, 64, 0, 0))
    held_out = dict(zip(config.crops.sizes, (s.validation for s in stored), strict=True))
    held_out = {size: pixels for size, pixels in held_out.items() if size in BUDGETS}

    def point() -> dict[str, Any]:
        about = {"step": run.step, "minutes": round(run.seconds / 60, 1)}
        return about | validate(run, held_out)

    with runs.stop_requests() as stop:
        runs.loop(
            run,
            config.training,
            batches([s.training for s in stored], config, run.step),
            step=lambda pixels: train_step(run, pixels),
            validate=point,
            checkpoint=lambda path: runs.save(run, path),
            out=out,
            stop=stop,
            max_minutes=max_minutes,
        )
    return run


def fitted_linear(training: NDArray[np.uint8], config: LappedConfig) -> linear.LinearTransform:
    """The linear transform for a random part of the crops."""
    rng = np.random.default_rng(config.training.seed)
    count = min(LINEAR_CROPS, len(training))
    chosen = np.sort(rng.choice(len(training), count, replace=False))
    return linear.fit(np.array(training[chosen]), config.model.channels)
