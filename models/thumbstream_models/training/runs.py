"""What all trainings share: the saved state, the schedule, the optimizer step, the loop.

A checkpoint holds the weights, their moving average and the optimizer's state, and the random
numbers of a step depend on (seed, step) only. So a training that was stopped and resumed gives the
same weights as one that was not.
"""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from thumbstream_models.training.config import Schedule

CHECKPOINT_SECONDS = 300
_LARGE_WEIGHT = 50_000
"""Elements from which a weight is stored in 8 bits."""
_LOG_SECONDS = 60
"""Between two lines about the loss, where there is no terminal for a bar."""


class RunConfig(Protocol):
    """A configuration that can be written into a checkpoint."""

    def to_dict(self) -> dict[str, Any]:
        """Nested plain dictionaries."""


C = TypeVar("C", bound=RunConfig)
N = TypeVar("N", bound=nn.Module)
Batch = TypeVar("Batch")


@dataclass
class Run(Generic[C, N]):
    """A training in memory: what a checkpoint saves."""

    config: C
    net: N
    ema: dict[str, Tensor]
    optimizer: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0
    precision: str = ""
    """``bfloat16`` or ``float32``; empty before it is chosen."""
    data_sha256: str = ""
    curve: list[dict[str, Any]] = field(default_factory=list)


def start(
    config: C, net: N, schedule: Schedule, optimizer: torch.optim.Optimizer | None = None
) -> Run[C, N]:
    """A run at step 0 of a network on its device; with Adam by default."""
    if optimizer is None:
        optimizer = torch.optim.Adam(net.parameters(), lr=schedule.learning_rate, fused=True)
    ema = {name: value.detach().clone() for name, value in net.state_dict().items()}
    return Run(config, net, ema, optimizer)


def save(run: Run[C, N], path: Path, **more: Any) -> None:
    """Write a checkpoint atomically; ``more`` are further entries."""
    partial = path.with_suffix(".partial")
    torch.save(
        {
            "config": run.config.to_dict(),
            "net": run.net.state_dict(),
            "ema": run.ema,
            "optimizer": run.optimizer.state_dict(),
            "step": run.step,
            "seconds": run.seconds,
            "precision": run.precision,
            "data_sha256": run.data_sha256,
            "curve": run.curve,
            **more,
        },
        partial,
    )
    partial.replace(path)


def compact(path: Path, out: Path, *, weights_only: bool = False) -> None:
    """Write a checkpoint at a third of its size or less.

    The weights are the moving averages in half precision; the optimizer's moments are stored as
    bfloat16, or not at all with ``weights_only``. Then large weights are integers of 8 bits with a
    scale for each output. A training resumed from it is not bit-exact.
    """
    saved = torch.load(path, map_location="cpu", weights_only=True)
    saved["ema"] = {name: _narrow(value, torch.half) for name, value in saved["ema"].items()}
    if weights_only:
        saved["optimizer"]["state"] = {}
        saved["ema"] = {name: _as_integers(value) for name, value in saved["ema"].items()}
    saved["net"] = saved["ema"]  # stored once
    for moments in saved["optimizer"]["state"].values():
        moments |= {name: _narrow(value, torch.bfloat16) for name, value in moments.items()}
    torch.save(saved, out)


def _narrow(value: Tensor | int, dtype: torch.dtype) -> Tensor | int:
    """Arrays of floats as ``dtype``; integers and scalars, like steps, unchanged."""
    if isinstance(value, int) or not value.is_floating_point() or not value.ndim:
        return value
    return value.to(dtype)


def _as_integers(value: Tensor) -> Tensor | tuple[Tensor, Tensor]:
    """Integers and scales of a large weight; other arrays unchanged."""
    if value.ndim < 2 or value.numel() < _LARGE_WEIGHT:
        return value
    scale = value.float().flatten(1).abs().amax(1).clamp_min(1e-12) / 127
    integers = torch.round(value / scale.view(-1, *([1] * (value.ndim - 1))))
    return integers.to(torch.int8), scale


def as_floats(value: Tensor | tuple[Tensor, Tensor]) -> Tensor:
    """The inverse of `_as_integers`."""
    if isinstance(value, Tensor):
        return value
    integers, scale = value
    return integers * scale.view(-1, *([1] * (integers.ndim - 1)))


def config_of(path: Path) -> dict[str, Any]:
    """The configuration in a checkpoint, as nested dictionaries."""
    saved = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    config: dict[str, Any] = saved["config"]
    return config


def load_checkpoint(run: Run[C, N], saved: dict[str, Any]) -> None:
    """Set weights, averages, optimizer and counters of a new run to those of a checkpoint."""
    run.net.load_state_dict({name: as_floats(value) for name, value in saved["net"].items()})
    average = {name: as_floats(value) for name, value in saved["ema"].items()}
    run.ema = {name: value.to(run.ema[name].dtype) for name, value in average.items()}
    run.optimizer.load_state_dict(saved["optimizer"])
    run.step, run.seconds = saved["step"], saved["seconds"]
    run.precision = saved.get("precision", "bfloat16")  # older checkpoints do not say
    run.data_sha256, run.curve = saved["data_sha256"], saved["curve"]


def learning_rate(schedule: Schedule, step: int) -> float:
    """Linear warm-up, then half a cosine down to the final rate."""
    if step < schedule.warmup_steps:
        return schedule.learning_rate * (step + 1) / schedule.warmup_steps
    decay_steps = max(1, schedule.steps - schedule.warmup_steps)
    progress = min(1.0, (step - schedule.warmup_steps) / decay_steps)
    swing = (1 + math.cos(math.pi * progress)) / 2
    final = schedule.final_learning_rate
    return final + (schedule.learning_rate - final) * swing


def optimizer_step(
    run: Run[C, N], loss: Tensor, schedule: Schedule, *, rate: float | None = None
) -> float:
    """One optimizer step down ``loss``; returns it.

    The learning rate is `learning_rate` unless ``rate`` replaces it, times the ``speed`` of a group
    of parameters that has one. A step whose gradient is not finite changes no weight.
    """
    rate = learning_rate(schedule, run.step) if rate is None else rate
    for group in run.optimizer.param_groups:
        group["lr"] = rate * group.get("speed", 1.0)
    run.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.clip_grad_norm_(run.net.parameters(), schedule.gradient_clip)
    if torch.isfinite(norm):
        run.optimizer.step()
    decay = min(schedule.ema_decay, (1 + run.step) / (10 + run.step))
    with torch.no_grad():
        for name, value in run.net.state_dict().items():
            run.ema[name].lerp_(value, 1 - decay)
    run.step += 1
    return float(loss.detach())


@contextmanager
def averaged_weights(run: Run[C, N]) -> Iterator[N]:
    """The network with its moving-average weights, in inference mode."""
    live = {name: value.detach().clone() for name, value in run.net.state_dict().items()}
    run.net.load_state_dict(run.ema)
    run.net.eval()
    try:
        yield run.net
    finally:
        run.net.load_state_dict(live)
        run.net.train()


def step_rng(seed: int, step: int) -> np.random.Generator:
    """The random numbers of a step; also seeds torch's generator."""
    rng = np.random.default_rng((seed, step, 1))
    torch.manual_seed(int(rng.integers(2**62)))
    return rng


def device_of(name: str | None) -> torch.device:
    """The named device; without a name CUDA if available, otherwise the CPU."""
    return torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))


def to_tensor(pixels: NDArray[np.uint8], device: torch.device) -> Tensor:
    """``(B, H, W, 3)`` uint8 to ``(B, 3, H, W)`` float32 in [-1, 1], channels last."""
    x = torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
    return x.contiguous(memory_format=torch.channels_last)


def to_pixels(x_hat: Tensor) -> NDArray[np.uint8]:
    """``(B, 3, H, W)`` in [-1, 1] to ``(B, H, W, 3)`` uint8."""
    scaled = ((x_hat.float() + 1) * 127.5).round().clamp(0, 255)
    return scaled.byte().permute(0, 2, 3, 1).cpu().numpy()


def commit_hash() -> str:
    """Commit of the training program; ``unknown`` outside a git checkout."""
    git = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True
    )
    return git.stdout.strip() if git.returncode == 0 else "unknown"


@contextmanager
def stop_requests() -> Iterator[list[str]]:
    """Names of the stop signals received; restores the signal handlers at the end."""
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


def loop(
    run: Run[C, N],
    schedule: Schedule,
    batches: Iterable[Batch],
    *,
    step: Callable[[Batch], float],
    validate: Callable[[], dict[str, Any]],
    checkpoint: Callable[[Path], None],
    out: Path,
    stop: list[str],
    max_minutes: float | None,
) -> None:
    """Train until the last step, an entry in ``stop`` or ``max_minutes``; then save.

    Writes ``checkpoint.pt`` and ``curve.jsonl`` into ``out``.
    """
    started, seconds_before, saved_at = time.monotonic(), run.seconds, time.monotonic()
    smooth, logged_at = math.nan, started
    bar = tqdm(
        batches,
        total=schedule.steps,
        initial=run.step,
        unit="step",
        mininterval=5,
        disable=not sys.stderr.isatty(),
    )
    for batch in bar:
        loss = step(batch)
        if math.isfinite(loss):  # skipped steps do not enter the mean
            smooth = loss if math.isnan(smooth) else 0.98 * smooth + 0.02 * loss
        elapsed = time.monotonic() - started
        run.seconds = seconds_before + elapsed
        bar.set_postfix_str(f"loss {smooth:.4f}", refresh=False)
        if bar.disable and time.monotonic() - logged_at > _LOG_SECONDS:
            logged_at = time.monotonic()
            print(f"step {run.step} of {schedule.steps}, loss {smooth:.4f}", file=sys.stderr)
        finished = run.step >= schedule.steps
        out_of_time = max_minutes is not None and elapsed > 60 * max_minutes
        if run.step % schedule.validate_every == 0 or finished:
            run.curve.append(validate() | {"loss": round(smooth, 4)})
            tqdm.write(json.dumps(run.curve[-1]))
            (out / "curve.jsonl").write_text("".join(json.dumps(p) + "\n" for p in run.curve))
        if stop or finished or out_of_time or time.monotonic() - saved_at > CHECKPOINT_SECONDS:
            checkpoint(out / "checkpoint.pt")
            saved_at = time.monotonic()
        if stop or out_of_time:
            tqdm.write(f"stopped at step {run.step}: {stop[0] if stop else 'out of time'}")
            break
