"""The arithmetic of a training: bfloat16 or float32, whichever is faster on its device.

Some processors multiply bfloat16 at twice the speed of float32, others emulate it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from tqdm import tqdm

PRECISIONS = ("bfloat16", "float32")


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """The context in which a network computes; parameters stay in float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def fastest(
    net: nn.Module, loss: Callable[[], Tensor], device: torch.device, *, repeats: int = 3
) -> str:
    """Which of `PRECISIONS` takes the least time for ``loss`` and its gradient; logs the times.

    The gradients of ``net`` are cleared; its weights do not change.
    """
    seconds = {}
    for precision in PRECISIONS:
        times = [_timed(loss, precision, device) for _ in range(1 + repeats)]
        seconds[precision] = min(times[1:])  # the first one allocates memory
    net.zero_grad(set_to_none=True)
    best = min(seconds, key=seconds.__getitem__)
    measured = ", ".join(f"{1e3 * s:.0f} ms in {name}" for name, s in seconds.items())
    tqdm.write(f"precision: {best} (one pass: {measured})", file=sys.stderr)
    return best


def _timed(loss: Callable[[], Tensor], precision: str, device: torch.device) -> float:
    started = time.perf_counter()
    with autocast(precision, device):
        value = loss()
    value.backward()  # type: ignore[no-untyped-call]
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started
