"""Trains the product codec in stages: ``thumbstream-models train CONFIG DATA...``.

The first stage trains a transform for all rates. The second one continues it, with its optimizer,
on truncation states of the embedded stream. The third one trains the synthesis network alone, with
the moving average of the others, while the context model can be fitted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thumbstream_models.embedded import context_fit, train_step
from thumbstream_models.embedded.codec_config import STAGES, EmbeddedConfig, StageConfig, from_dict
from thumbstream_models.embedded.symbol_layout import Layout, chosen_starts
from thumbstream_models.embedded.train_step import Run, Stage
from thumbstream_models.embedded.transform_networks import Transform
from thumbstream_models.training import data, runs
from thumbstream_models.training.config import ConfigError, DataConfig

SORTING_CROPS = 8192
"""Training crops that determine the order and the first planes of the channels."""
SHARES_STEPS = 250
"""Steps of the context model whose bits determine the position of each group in a plane."""
_SIZE_STREAM = 7
"""Stream of random numbers for the sizes of the batches."""


def new_run(config: EmbeddedConfig, device: torch.device) -> Run:
    """A run at step 0 of the first stage."""
    torch.manual_seed(config.transform.seed)
    net = Transform(config.model, config.embedding.groups).to(
        device, memory_format=torch.channels_last
    )  # type: ignore[call-overload]
    return runs.start(config, net, config.transform)


def save(run: Run, path: Path, stage: Stage) -> None:
    """Write a checkpoint."""
    layout = None if stage.layout is None else stage.layout.to_dict()
    runs.save(run, path, stage=stage.name, layout=layout)


def restore(
    path: Path, device: torch.device, config: EmbeddedConfig | None = None
) -> tuple[Run, Stage]:
    """Read a checkpoint; ``config`` may change everything but the networks."""
    saved = torch.load(path, map_location=device, weights_only=True)
    before = from_dict(saved["config"])
    config = config or before
    if config.model != before.model:
        raise ConfigError(f"{path} has another network than the configuration")
    run = new_run(config, device)
    runs.load_checkpoint(run, saved)
    layout = Layout.from_dict(saved["layout"]) if saved["layout"] else None
    return run, Stage(saved["stage"], layout)


def batch_of(
    pictures: list[NDArray[np.uint8]], config: DataConfig, stage: StageConfig, step: int
) -> NDArray[np.uint8]:
    """Batch number ``step``: ``(batch, size, size, 3)`` uint8 of one of the stage's sizes."""
    sample = np.random.default_rng((stage.seed, step, _SIZE_STREAM)).random()
    # Without the last sum, which rounding may leave below 1.
    chosen = int(np.searchsorted(np.cumsum(stage.size_chances[:-1]), sample, side="right"))
    config = dataclasses.replace(config, size=stage.sizes[chosen])
    return data.training_batch(pictures, config, stage.batch_sizes[chosen], stage.seed, step)


@torch.no_grad()
def latents_of(
    net: Transform, batches: Iterator[NDArray[np.uint8]], device: torch.device
) -> Tensor:
    """Latents ``(B, C, h, w)`` of pictures of one size, in the networks' order of channels."""
    return torch.cat([net.analysis(runs.to_tensor(b, device)).float().cpu() for b in batches])


def crops(
    pictures: list[NDArray[np.uint8]], config: EmbeddedConfig, size: int, count: int
) -> Iterator[NDArray[np.uint8]]:
    """Batches of ``count`` crops of ``size`` pixels, other ones than in the stages."""
    data_config = dataclasses.replace(config.data, size=size)
    batch = min(256, count)
    seed = config.context.seed
    return data.prefetched_batches(pictures, data_config, batch, seed, range(-(-count // batch)))


def make_layout(run: Run, pictures: list[NDArray[np.uint8]], device: torch.device) -> Layout:
    """Order, first planes and shares of the channels, from latents of training crops."""
    e = run.config.embedding
    with runs.averaged_weights(run) as net:
        side = min(e.sizes)
        y = latents_of(net, crops(pictures, run.config, side, SORTING_CROPS), device)
    by_spread = y.std((0, 2, 3)).argsort(descending=True)
    order = torch.cat([by_spread[r : r + n] for r, n in zip(e.ranks, e.groups, strict=True)])
    scales = torch.repeat_interleave(torch.pow(3.0, -torch.tensor(e.lags)), torch.tensor(e.groups))
    y = y[:, order] * scales[:, None, None]
    layout = Layout(
        planes=e.planes,
        groups=e.groups,
        starts=chosen_starts(y, e.planes, e.base_step, e.covered),
        base_step=e.base_step,
        order=tuple(order.tolist()),
        scales=tuple(scales.tolist()),
        shares=(),
    )
    few = dataclasses.replace(run.config.context, steps=SHARES_STEPS)
    model = context_fit.fit([y], layout.published(), few, quiet=True)
    spent = context_fit.bits_by_step(model, y[:1024]).cumsum(1)
    shares = spent / spent[:, -1:].clamp_min(1e-9)
    return dataclasses.replace(layout, shares=tuple(map(tuple, shares.tolist())))


def train(
    config: EmbeddedConfig | None,
    sources: list[Path],
    out: Path,
    *,
    stage: str,
    resume: Path | None = None,
    max_minutes: float | None = None,
    device_name: str | None = None,
) -> Run:
    """Train one of the `STAGES` until its last step, ``max_minutes`` or a signal.

    Each stage resumes from its own checkpoint or continues that of the stage before; the first may
    start without one. Writes ``checkpoint.pt`` and ``curve.jsonl`` into ``out``.
    """
    device = runs.device_of(device_name)
    out.mkdir(parents=True, exist_ok=True)
    if resume is not None:
        run, before = restore(resume, device, config)
    elif config is not None:
        run, before = new_run(config, device), Stage(STAGES[0], None)
    else:
        raise ConfigError("a training needs a configuration or a checkpoint")
    if resume is None and stage != before.name:
        raise ConfigError(f"the {stage} stage needs a checkpoint: name it with --resume")
    if STAGES.index(stage) - STAGES.index(before.name) not in (0, 1):
        raise ConfigError(f"the {stage} stage cannot follow the {before.name} stage of {resume}")
    pictures = data.load(sources, run.config.data)
    run.data_sha256 = pictures.sha256
    now = enter_stage(run, before, stage, pictures.training, device)
    schedule = now.schedule(run.config)
    held_out = {
        side: data.validation_batch(pictures.validation, side)
        for side in train_step.BUDGETS
        if side <= run.config.data.size
    }

    def point() -> dict[str, Any]:
        about = {"step": run.step, "minutes": round(run.seconds / 60, 1), "stage": stage}
        return about | train_step.validate(run, now, held_out, device)

    make = partial(batch_of, pictures.training, run.config.data, schedule)
    with runs.stop_requests() as stop:
        runs.loop(
            run,
            schedule,
            data.prefetched(make, range(run.step, schedule.steps)),
            step=lambda pixels: train_step.train_step(run, now, pixels, device),
            validate=point,
            checkpoint=lambda path: save(run, path, now),
            out=out,
            stop=stop,
            max_minutes=max_minutes,
        )
    return run


def enter_stage(
    run: Run,
    before: Stage,
    name: str,
    pictures: list[NDArray[np.uint8]],
    device: torch.device,
) -> Stage:
    """Prepare a run in stage ``before`` for the stage ``name``, which is returned."""
    if name == before.name:
        return before
    if before.layout is None:
        return Stage(name, make_layout(run, pictures, device))
    # The averaged weights, which are published, are fixed from here on.
    fixed = {key: run.ema[key] for key in run.ema if not key.startswith("synthesis.")}
    run.net.load_state_dict(run.net.state_dict() | fixed)
    return Stage(name, before.layout)
