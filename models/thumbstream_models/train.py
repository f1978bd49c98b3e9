"""One training program for every model: ``thumbstream-models train CONFIG DATA...``.

Everything that a step draws at random comes from (seed, step), and a checkpoint holds the weights,
their moving average and the optimizer's state: a training that was stopped and resumed gives
the same weights as one that was not. The same command line runs on CPU and on CUDA.
"""

from __future__ import annotations

import json
import math
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from thumbstream.codec.codes import coding_rank, grid_of
from thumbstream_models import config as configs
from thumbstream_models import data, metrics, networks
from thumbstream_models.config import Config

LOG_FLOOR = (2 * 1.5 / 255) ** 2
"""Squared error, on the [-1, 1] scale, under which ``log_l2`` sees no difference: 1.5 of 255."""

CHECKPOINT_SECONDS = 300


@dataclass
class Run:
    """A training in memory: what a checkpoint saves."""

    config: Config
    net: networks.Compressor
    ema: dict[str, Tensor]
    optimizer: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0
    data_sha256: str = ""
    curve: list[dict[str, Any]] = field(default_factory=list)


def new_run(config: Config, device: torch.device) -> Run:
    """A run at step 0."""
    torch.manual_seed(config.training.seed)
    net = networks.build(config.model).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(net.parameters(), lr=config.training.learning_rate, fused=True)
    ema = {name: value.detach().clone() for name, value in net.state_dict().items()}
    return Run(config, net, ema, optimizer)


def save(run: Run, path: Path) -> None:
    """Write a checkpoint; a crash while writing leaves the old one whole."""
    partial = path.with_suffix(".partial")
    torch.save(
        {
            "config": run.config.to_dict(),
            "net": run.net.state_dict(),
            "ema": run.ema,
            "optimizer": run.optimizer.state_dict(),
            "step": run.step,
            "seconds": run.seconds,
            "data_sha256": run.data_sha256,
            "curve": run.curve,
        },
        partial,
    )
    partial.replace(path)


def restore(path: Path, device: torch.device, config: Config | None = None) -> Run:
    """Read a checkpoint; ``config`` may change the training section but not the network."""
    saved = torch.load(path, map_location=device, weights_only=True)
    saved_config = configs.from_dict(saved["config"])
    config = config or saved_config
    if config.model != saved_config.model:
        raise configs.ConfigError(f"{path} holds another network than the configuration asks for")
    run = new_run(config, device)
    run.net.load_state_dict(saved["net"])
    run.ema = saved["ema"]
    run.optimizer.load_state_dict(saved["optimizer"])
    run.step, run.seconds = saved["step"], saved["seconds"]
    run.data_sha256, run.curve = saved["data_sha256"], saved["curve"]
    return run


def learning_rate(config: Config, step: int) -> float:
    """Linear warm-up, then half a cosine down to the final rate."""
    t = config.training
    if step < t.warmup_steps:
        return t.learning_rate * (step + 1) / t.warmup_steps
    progress = min(1.0, (step - t.warmup_steps) / max(1, t.steps - t.warmup_steps))
    swing = (1 + math.cos(math.pi * progress)) / 2
    return t.final_learning_rate + (t.learning_rate - t.final_learning_rate) * swing


def unrolled_iterations(config: Config, step: int, rng: np.random.Generator) -> int:
    """How many iterations batch ``step`` is unrolled for: few at first, then any number.

    Short unrolls are more frequent: their bytes are the ones that people use, and they are cheap.
    """
    t = config.training
    most = config.model.iterations
    if step < t.curriculum * t.steps:
        most = min(most, t.curriculum_iterations)
    spread = most - t.min_iterations + 1
    return t.min_iterations + int(spread * rng.random() ** t.unroll_power)


def truncation_mask(
    batch: int, planes: int, size: int, whole: float, rng: np.random.Generator
) -> Tensor:
    """Which codes the decoder sees: ``(batch, planes, rows, columns)`` of 0 and 1.

    Each picture keeps a random prefix of its codes, in coding order. The part ``whole`` of them
    keeps all: the last iteration must learn whole codes, too.
    """
    grid = grid_of(size, size, networks.STRIDE)
    rank = torch.from_numpy(coding_rank(grid, planes))
    total = planes * grid.cells
    kept = np.where(rng.random(batch) < whole, total, rng.integers(0, total + 1, size=batch))
    return (rank[None] < torch.from_numpy(kept)[:, None, None, None]).float()


def loss_of(x: Tensor, reconstructions: list[Tensor], kind: str) -> Tensor:
    """Mean loss over iterations and pictures of the residuals ``x - x_hat``.

    ``log_l2`` is the mean PSNR up to sign and scale: with plain L2 the first iterations and the
    pictures of highest contrast outweigh all others.
    """
    mse = torch.stack(
        [(x - x_hat.float()).square().mean(dim=(1, 2, 3)) for x_hat in reconstructions]
    )
    if kind == "l2":
        return mse.mean()
    if kind == "log_l2":
        return torch.log(mse + LOG_FLOOR).mean()
    raise configs.ConfigError(f"unknown loss {kind!r}; known: l2, log_l2")


def to_tensor(pixels: NDArray[np.uint8], device: torch.device) -> Tensor:
    """``(B, H, W, 3)`` uint8 to ``(B, 3, H, W)`` float32 in [-1, 1], channels last."""
    x = torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
    return x.contiguous(memory_format=torch.channels_last)


def to_pixels(x_hat: Tensor) -> NDArray[np.uint8]:
    """``(B, 3, H, W)`` in [-1, 1] to ``(B, H, W, 3)`` uint8."""
    scaled = ((x_hat.float() + 1) * 127.5).round().clamp(0, 255)
    return scaled.byte().permute(0, 2, 3, 1).cpu().numpy()


@contextmanager
def averaged_weights(run: Run) -> Iterator[networks.Compressor]:
    """The network with its moving-average weights, in inference mode."""
    live = {name: value.detach().clone() for name, value in run.net.state_dict().items()}
    run.net.load_state_dict(run.ema)
    run.net.eval()
    try:
        yield run.net
    finally:
        run.net.load_state_dict(live)
        run.net.train()


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


def train_step(run: Run, pixels: NDArray[np.uint8], device: torch.device) -> float:
    """One optimizer step on one batch; returns the loss."""
    config, t = run.config, run.config.training
    rng = np.random.default_rng((t.seed, run.step, 1))
    torch.manual_seed(int(rng.integers(2**62)))
    run.net.binarizer.deterministic = run.step >= t.deterministic_from * t.steps
    x = to_tensor(pixels, device)
    planes, side = config.model.code_planes, config.data.side()
    mask = truncation_mask(len(x), planes, side, t.whole_codes, rng).to(device)
    iterations = unrolled_iterations(config, run.step, rng)
    with torch.autocast(device.type, torch.bfloat16):
        _, reconstructions = run.net(x, iterations, mask)
    loss = loss_of(x, reconstructions, t.loss)
    for group in run.optimizer.param_groups:
        group["lr"] = learning_rate(config, run.step)
    run.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.clip_grad_norm_(run.net.parameters(), t.gradient_clip)
    if torch.isfinite(norm):
        run.optimizer.step()
    decay = min(t.ema_decay, (1 + run.step) / (10 + run.step))
    with torch.no_grad():
        for name, value in run.net.state_dict().items():
            run.ema[name].lerp_(value, 1 - decay)
    run.step += 1
    return float(loss.detach())


def commit_hash() -> str:
    """The commit that the training program was run from, if there is one."""
    git = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True
    )
    return git.stdout.strip() if git.returncode == 0 else "unknown"


@contextmanager
def stop_requests() -> Iterator[list[str]]:
    """Names of the signals that asked to stop; afterwards signals do what they did before."""
    stop: list[str] = []
    before = {
        number: signal.signal(number, lambda n, _: stop.append(signal.Signals(n).name))
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def train(
    config: Config | None,
    sources: list[Path],
    out: Path,
    *,
    resume: Path | None = None,
    max_minutes: float | None = None,
    device_name: str | None = None,
) -> Run:
    """Train until the last step, ``max_minutes`` or SIGTERM, whichever comes first.

    Writes ``checkpoint.pt`` and ``curve.jsonl`` into ``out``; with ``resume`` goes on from a
    checkpoint.
    """
    device = torch.device(device_name or ("cuda" if torch.cuda.is_available() else "cpu"))
    out.mkdir(parents=True, exist_ok=True)
    if resume is not None:
        run = restore(resume, device, config)
    elif config is not None:
        run = new_run(config, device)
    else:
        raise configs.ConfigError("a training needs a configuration or a checkpoint")
    config = run.config
    pictures = data.load(sources, config.data)
    run.data_sha256 = pictures.sha256
    held_out = data.validation_batch(pictures.validation, config.data.size)
    with stop_requests() as stop:
        _steps(run, pictures.training, held_out, out, stop, max_minutes, device)
    return run


def _steps(
    run: Run,
    pictures: list[NDArray[np.uint8]],
    held_out: NDArray[np.uint8],
    out: Path,
    stop: list[str],
    max_minutes: float | None,
    device: torch.device,
) -> None:
    """Step until the end or until something in ``stop`` or the clock says so; then save."""
    config = run.config
    started, seconds_before, saved_at = time.monotonic(), run.seconds, time.monotonic()
    t = config.training
    batches = data.prefetched_batches(
        pictures, config.data, t.batch_size, t.seed, range(run.step, t.steps)
    )
    smooth = math.nan
    bar = tqdm(batches, total=t.steps, initial=run.step, unit="step", mininterval=5)
    for pixels in bar:
        loss = train_step(run, pixels, device)
        if math.isfinite(loss):  # a skipped step must not spoil the curve
            smooth = loss if math.isnan(smooth) else 0.98 * smooth + 0.02 * loss
        elapsed = time.monotonic() - started
        run.seconds = seconds_before + elapsed
        rate = bar.format_dict["rate"] or 0.0
        bar.set_postfix_str(
            f"loss {smooth:.4f}, {rate * t.batch_size:.0f} pictures/s", refresh=False
        )
        finished = run.step >= t.steps
        out_of_time = max_minutes is not None and elapsed > 60 * max_minutes
        if run.step % t.validate_every == 0 or finished:
            run.curve.append(validate(run, held_out, device) | {"loss": round(smooth, 4)})
            tqdm.write(json.dumps(run.curve[-1]))
            (out / "curve.jsonl").write_text("".join(json.dumps(p) + "\n" for p in run.curve))
        if stop or finished or out_of_time or time.monotonic() - saved_at > CHECKPOINT_SECONDS:
            save(run, out / "checkpoint.pt")
            saved_at = time.monotonic()
        if stop or out_of_time:
            tqdm.write(f"stopped at step {run.step}: {stop[0] if stop else 'out of time'}")
            break
