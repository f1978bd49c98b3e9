"""Compares ways to split the recurrence into ONNX graphs: the measurement of docs/adr/0003.

steps: one graph for an encoder iteration and one for a decoder iteration, state passed outside.
pair: one graph that does both, for encoding. unrolled: all iterations of the encoder in one graph.
The ways alternate, so drifts of the machine's speed affect all of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from thumbstream_models.paper import networks, step_graphs, train_system
from thumbstream_models.training.onnx_export import cpu_session, export_bytes


class _Pair(nn.Module):
    """One iteration: scaled residual and state in; codes, picture and state out."""

    def __init__(self, net: networks.Compressor) -> None:
        super().__init__()
        self.analysis, self.synthesis = (
            step_graphs.AnalysisStep(net),
            step_graphs.SynthesisStep(net),
        )

    def forward(self, r: Tensor, h: Tensor, c: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        activation, h, c = self.analysis(r, h, c)
        codes = torch.sign(activation)
        x_hat, *state_next = self.synthesis(codes, *state)
        return codes, x_hat, h, c, *state_next


class _Unrolled(nn.Module):
    """All iterations: picture in, codes out."""

    def __init__(self, net: networks.Compressor, iterations: int) -> None:
        super().__init__()
        self.net, self.iterations = net, iterations

    def forward(self, x: Tensor) -> Tensor:
        codes, _ = self.net(x, self.iterations)
        return torch.stack(codes, 1)


def compare(checkpoint: Path, runs: int) -> str:
    """Median milliseconds per 32x32 picture and megabytes of each layout, as text."""
    run = train_system.restore(checkpoint, torch.device("cpu"))
    net = run.net.float().eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    iterations = run.config.model.iterations
    x = torch.zeros(1, 3, 32, 32)
    analysis_state = net.encoder.zero_state(1, 4, 4, x)
    synthesis_state = net.decoder.zero_state(1, 4, 4, x)
    files = step_graphs.to_onnx(net)
    graphs = {
        "analysis": files["analysis.onnx"],
        "synthesis": files["synthesis.onnx"],
        "pair": export_bytes(_Pair(net), (x, *analysis_state, *synthesis_state)),
        "unrolled": export_bytes(_Unrolled(net, iterations), (x,)),
    }
    session = {name: cpu_session(model) for name, model in graphs.items()}
    picture = np.random.default_rng(0).uniform(-1, 1, x.shape).astype(np.float32)

    def step(name: str, value: np.ndarray[Any, Any], state: list[Any]) -> list[Any]:
        names = [i.name for i in session[name].get_inputs()]
        return list(session[name].run(None, dict(zip(names, [value, *state], strict=True))))

    def steps() -> None:
        a, s = [v.numpy() for v in analysis_state], [v.numpy() for v in synthesis_state]
        r = picture
        for _ in range(iterations):
            activation, *a = step("analysis", r, a)
            x_hat, *s = step("synthesis", np.sign(activation), s)
            r = picture - x_hat

    def pair() -> None:
        state = [v.numpy() for v in analysis_state + synthesis_state]
        r = picture
        for _ in range(iterations):
            _, x_hat, *state = step("pair", r, state)
            r = picture - x_hat

    def unrolled() -> None:
        step("unrolled", picture, [])

    def decode() -> None:
        s = [v.numpy() for v in synthesis_state]
        codes = np.ones((1, net.decoder.conv.in_channels, 4, 4), np.float32)
        for _ in range(iterations):
            _, *s = step("synthesis", codes, s)

    ways: dict[str, Callable[[], None]] = {
        "encode, steps": steps,
        "encode, pair": pair,
        "encode, unrolled": unrolled,
        "decode, steps": decode,
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(runs + 3):
        for name, way in ways.items():
            started = time.process_time()
            way()
            if turn >= 3:
                times[name].append(1000 * (time.process_time() - started))
    sizes = {name: len(model) / 1e6 for name, model in graphs.items()}
    lines = [f"{name:18} {median(values):7.2f} ms" for name, values in times.items()]
    lines += [f"{name:18} {size:7.2f} MB" for name, size in sizes.items()]
    return "\n".join(lines)
