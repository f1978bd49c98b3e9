"""Trains a system of the paper: ``thumbstream-models train CONFIG DATA...``.

The same command resumes a stopped training and gives the same weights as without the stop: the
random numbers of a step depend on (seed, step) only. It runs on CPU and on CUDA.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thumbstream.codec.iterative.codes import coding_rank
from thumbstream.codec.tensors import cell_grid
from thumbstream_models.evaluate import metrics
from thumbstream_models.paper import networks, system_config
from thumbstream_models.paper.system_config import SystemConfig
from thumbstream_models.training import crops, precision, runs
from thumbstream_models.training.config import ConfigError
from thumbstream_models.training.muon import Muon
from thumbstream_models.training.runs import averaged_weights, save, to_pixels, to_tensor
from thumbstream_models.training.ssim import ssim

LOG_FLOOR = (2 * 1.5 / 255) ** 2
"""Squared error, on the [-1, 1] scale, below which ``log_l2`` is nearly flat: 1.5 of 255."""

SSIM_FLOOR = 0.01
"""1 - SSIM below which ``log_l2_ssim`` is nearly flat."""

Run: TypeAlias = runs.Run[SystemConfig, networks.Compressor]


def new_run(config: SystemConfig, device: torch.device) -> Run:
    """A run at step 0."""
    torch.manual_seed(config.training.seed)
    net = networks.build(config.model).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = None
    if config.training.optimizer == "muon":
        matrices = dict(net.hidden_matrices())
        others = [parameter for parameter in net.parameters() if parameter not in matrices]
        optimizer = Muon(matrices.items(), others, config.training.learning_rate)
    return runs.start(config, net, config.training, optimizer)


def restore(path: Path, device: torch.device, config: SystemConfig | None = None) -> Run:
    """Read a checkpoint; ``config`` may change all but the network."""
    saved = torch.load(path, map_location=device, weights_only=True)
    config = config or system_config.from_dict(saved["config"])
    _check_network(path, saved, config)
    run = new_run(config, device)
    runs.load_checkpoint(run, saved)
    return run


def _check_network(path: Path, saved: dict[str, Any], config: SystemConfig) -> None:
    if system_config.from_dict(saved["config"]).model != config.model:
        raise ConfigError(f"{path} holds another network than the configuration describes")


def load_start(run: Run, path: Path | None, device: torch.device) -> None:
    """Give a new run the averaged weights of another; raises `ConfigError` for a wrong file."""
    expected = run.config.training.start_sha256
    if path is None or hashlib.sha256(path.read_bytes()).hexdigest() != expected:
        raise ConfigError(f"--start must be the checkpoint whose SHA-256 is {expected}")
    saved = torch.load(path, map_location=device, weights_only=True)
    _check_network(path, saved, run.config)
    run.net.load_state_dict(saved["ema"])
    run.ema = {name: value.detach().clone() for name, value in run.net.state_dict().items()}


def learning_rate(config: SystemConfig, step: int) -> float:
    """Constant, then linear if ``decay_steps`` is set; otherwise `runs.learning_rate`."""
    t = config.training
    if not t.decay_steps:
        return runs.learning_rate(t, step)
    warm = min(1.0, (step + 1) / t.warmup_steps) if t.warmup_steps else 1.0
    left = min(1.0, max(0.0, (t.steps - step) / t.decay_steps))
    return warm * (t.final_learning_rate + (t.learning_rate - t.final_learning_rate) * left)


def unrolled_iterations(config: SystemConfig, step: int, rng: np.random.Generator) -> int:
    """Number of iterations that batch ``step`` is unrolled for: few at first, then any number.

    Short unrolls are more frequent: short streams matter most, and they cost less time.
    """
    t = config.training
    most = config.model.iterations
    if step < t.curriculum * t.steps:
        most = min(most, t.curriculum_iterations)
    spread = most - t.min_iterations + 1
    return t.min_iterations + int(spread * rng.random() ** t.unroll_power)


def truncation_mask(
    batch: int, planes: int, size: int, complete: float, rng: np.random.Generator
) -> Tensor:
    """Which codes the decoder sees: ``(batch, planes, rows, columns)`` of 0 and 1.

    Each picture has a random prefix of its codes, in coding order. The fraction ``complete`` of the
    pictures has all codes.
    """
    grid = cell_grid(size, size, networks.STRIDE)
    rank = torch.from_numpy(coding_rank(grid, planes))
    total = planes * grid.cells
    uncut = rng.random(batch) < complete
    random_count = rng.integers(0, total + 1, size=batch)
    count = torch.from_numpy(np.where(uncut, total, random_count))
    return (rank[None] < count[:, None, None, None]).float()


def loss_of(x: Tensor, reconstructions: list[Tensor], kind: str) -> Tensor:
    """Mean loss over iterations and pictures of the residuals ``x - x_hat``.

    ``log_l2`` is the mean PSNR up to sign and scale: with plain L2 the first iterations and the
    pictures of highest contrast outweigh all others. ``log_l2_ssim`` is the mean of that and of
    log(1 - SSIM).
    """
    mse = torch.stack(
        [(x - x_hat.float()).square().mean(dim=(1, 2, 3)) for x_hat in reconstructions]
    )
    if kind == "l2":
        return mse.mean()
    if kind == "log_l2":
        return torch.log(mse + LOG_FLOOR).mean()
    if kind == "log_l2_ssim":
        similarity = torch.stack([ssim(x, x_hat.float()) for x_hat in reconstructions])
        logarithms = torch.log(mse + LOG_FLOOR) + torch.log(1 + SSIM_FLOOR - similarity)
        return logarithms.mean() / 2
    raise ConfigError(f"unknown loss {kind!r}; known: l2, log_l2, log_l2_ssim")


@torch.no_grad()
def validate(run: Run, pixels: NDArray[np.uint8], device: torch.device) -> dict[str, Any]:
    """Mean PSNR and SSIM after 1, 2, 4, 8, ... iterations on the held-out pictures."""
    with averaged_weights(run) as net:
        _, reconstructions = net(to_tensor(pixels, device), run.config.model.iterations)
    point: dict[str, Any] = {"step": run.step, "minutes": round(run.seconds / 60, 1)}
    t = 1
    while t <= len(reconstructions):
        x_hat = to_pixels(reconstructions[t - 1])
        point[f"psnr_{t}"] = round(float(metrics.psnr(pixels, x_hat).mean()), 3)
        point[f"ssim_{t}"] = round(float(metrics.ssim(pixels, x_hat).mean()), 4)
        t *= 2
    return point


def choose_precision(run: Run, pixels: NDArray[np.uint8], device: torch.device) -> None:
    """Set the precision of a new run; ``measured``: the faster one on a batch of crops."""
    t = run.config.training
    if run.precision:  # a resumed run must give the same weights
        return
    if t.precision != "measured":
        run.precision = t.precision
        return
    x = to_tensor(pixels[: t.batch_size], device)
    iterations = min(2, run.config.model.iterations)
    run.precision = precision.fastest(
        run.net, lambda: loss_of(x, run.net(x, iterations)[1], t.loss), device
    )


def train_step(run: Run, pixels: NDArray[np.uint8], device: torch.device) -> float:
    """One optimizer step on one batch; returns the loss."""
    config, t = run.config, run.config.training
    rng = runs.step_rng(t.seed, run.step)
    run.net.binarizer.deterministic = run.step >= t.deterministic_from * t.steps
    x = to_tensor(pixels, device)
    planes, side = config.model.code_planes, config.data.side()
    mask = truncation_mask(len(x), planes, side, t.whole_codes, rng).to(device)
    iterations = unrolled_iterations(config, run.step, rng)
    with precision.autocast(run.precision, device):
        _, reconstructions = run.net(x, iterations, mask)
    rate = learning_rate(config, run.step)
    return runs.optimizer_step(run, loss_of(x, reconstructions, t.loss), t, rate=rate)


def train(
    config: SystemConfig | None,
    sources: list[Path],
    out: Path,
    *,
    resume: Path | None = None,
    start: Path | None = None,
    max_minutes: float | None = None,
    device_name: str | None = None,
) -> Run:
    """Train until the last step, ``max_minutes`` or SIGTERM, whichever comes first.

    Writes ``checkpoint.pt`` and ``curve.jsonl`` into ``out``, and resumes from a checkpoint there;
    raises `ConfigError` if its configuration differs. With an empty folder, ``resume`` is the
    checkpoint to resume from, and ``start`` the checkpoint that the configuration starts a new run
    with. ``resume`` may be the one in ``out``, to continue with another configuration of the same
    network.
    """
    device = runs.device_of(device_name)
    out.mkdir(parents=True, exist_ok=True)
    own = out / "checkpoint.pt"
    if own.exists() and (resume is None or not resume.samefile(own)):
        run = restore(own, device)
        if config not in (None, run.config):
            raise ConfigError(
                f"{own} has another configuration: name it with --resume to continue with the new "
                "one, or name another folder with --out"
            )
    elif resume is not None:
        run = restore(resume, device, config)
    elif config is not None:
        run = new_run(config, device)
        if config.training.start_sha256:
            load_start(run, start, device)
    else:
        raise ConfigError("a training needs a configuration or a checkpoint")
    config = run.config
    pictures = crops.load(sources, config.data)
    run.data_sha256 = pictures.sha256
    choose_precision(run, pictures.validation, device)
    t = config.training
    batches = (
        crops.batch(pictures.training, t.batch_size, t.seed, step, window=config.data.window)
        for step in range(run.step, t.steps)
    )
    with runs.stop_requests() as stop:
        runs.loop(
            run,
            t,
            batches,
            step=lambda pixels: train_step(run, pixels, device),
            validate=lambda: validate(run, pictures.validation, device),
            checkpoint=lambda path: save(run, path),
            out=out,
            stop=stop,
            max_minutes=max_minutes,
        )
    return run
