"""Learning-rate search: short trainings of one configuration, one for each rate.

As in the paper, a few values are tried. All trainings see the same pictures in the same order, and
each has its own schedule.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from thumbstream_models.paper import train_system
from thumbstream_models.paper.system_config import SystemConfig
from thumbstream_models.training import crops


def search(
    config: SystemConfig,
    sources: list[Path],
    rates: Sequence[float],
    steps: int,
    *,
    device_name: str = "cpu",
) -> list[tuple[float, dict[str, Any]]]:
    """``(learning rate, validation point after ``steps``)``, the best mean PSNR first.

    The mean is over the numbers of iterations that `train_system.validate` measures.
    """
    device = torch.device(device_name)
    pictures = crops.load(sources, config.data)
    out = []
    precision = ""  # measured once, the same for all
    for rate in rates:
        training = dataclasses.replace(config.training, learning_rate=rate, steps=steps)
        run = train_system.new_run(dataclasses.replace(config, training=training), device)
        run.precision = precision
        train_system.choose_precision(run, pictures.validation, device)
        precision = run.precision
        for step in range(steps):
            pixels = crops.batch(
                pictures.training,
                training.batch_size,
                training.seed,
                step,
                window=config.data.window,
            )
            train_system.train_step(run, pixels, device)
        out.append((rate, train_system.validate(run, pictures.validation, device)))
    return sorted(out, key=lambda item: -mean_psnr(item[1]))


def mean_psnr(point: dict[str, Any]) -> float:
    """Mean over the measured numbers of iterations of a validation point, in dB."""
    values = [value for key, value in point.items() if key.startswith("psnr_")]
    return float(sum(values) / len(values))
