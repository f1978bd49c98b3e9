"""Small untrained models of every family of the paper, with fixed bases as weights.

A cell's code is the sign of a projection of its residual; the synthesis moves the picture by a step
in that direction, and steps shrink from iteration to iteration. So quality rises with the number of
bytes, streams are short, and all kinds of networks are covered: additive and one-shot, shared and
per stage, with and without state, one iteration and many.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from codec_folders import entry
from numpy.typing import NDArray
from onnx_graphs import image, model, node

STRIDE = 8
COLOURS = 3
SHRINK = 0.7
"""Ratio of the step of an iteration to the one before."""
HIDDEN = 3


@dataclass(frozen=True)
class System:
    """Manifest values of a system with few planes."""

    model_id: str
    family: str
    bitstream_id: int
    reconstruction: str
    weights: str
    cell_stops: bool
    states: bool = False
    planes: int = 4
    iterations: int = 6

    @property
    def slots(self) -> int:
        """Iterations that share a network's code channels."""
        return self.iterations if self.weights == "shared" else 1


SYSTEMS = {
    system.model_id: system
    for system in (
        System("tiny-fc-residual", "fc_residual", 101, "additive", "per_stage", True),
        System("tiny-fc-residual-shared", "fc_residual", 102, "additive", "shared", True),
        System("tiny-fc-lstm", "fc_lstm", 103, "one_shot", "shared", True, states=True),
        System(
            "tiny-conv-autoencoder",
            "conv_autoencoder",
            104,
            "one_shot",
            "shared",
            False,
            planes=7,
            iterations=1,
        ),
        System("tiny-conv-residual", "conv_residual", 105, "additive", "per_stage", False),
        System("tiny-conv-residual-shared", "conv_residual", 106, "additive", "shared", False),
        System("tiny-conv-lstm", "conv_lstm", 107, "one_shot", "shared", False, states=True),
    )
}


def system_folder(folder: Path, system: System, **changes: Any) -> Path:
    """A published folder of ``system``; ``changes`` are keys of its manifest."""
    files = {"entropy.npz": _tables(system)}
    for t in range(system.iterations // system.slots):
        stage = f"-{t:02d}" if system.weights == "per_stage" else ""
        files[f"analysis{stage}.onnx"] = _analysis(system, t)
        files[f"synthesis{stage}.onnx"] = _synthesis(system, t)
    state = [{"name": "picture", "channels": COLOURS, "scale": STRIDE}] if system.states else []
    manifest = {
        "format": 1,
        "model_id": system.model_id,
        "family": system.family,
        "bitstream_id": system.bitstream_id,
        "stride": STRIDE,
        "planes": system.planes,
        "iterations": system.iterations,
        "reconstruction": system.reconstruction,
        "weights": system.weights,
        "cell_stops": system.cell_stops,
        "residual_gains": [_gain(system, t) for t in range(system.iterations)],
        "states": {"analysis": [], "synthesis": state},
        "files": {name: entry(data) for name, data in files.items()},
        "training": {},
        "measured": {},
        **changes,
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def _gain(system: System, iteration: int) -> float:
    return float(SHRINK**-iteration) if system.reconstruction == "additive" else 1.0


def _bases(system: System, iteration: int) -> NDArray[np.float32]:
    """``(planes, 3, 8, 8)``, orthogonal: change of a cell by each code, before steps shrink.

    Luminance, its two slopes, and a last one that alternates between colours and finer waves.
    """
    u = (np.arange(STRIDE) + 0.5) * np.pi / STRIDE
    wave = [np.cos(k * u) for k in range(3)]
    light, red, green = np.array([[1, 1, 1], [1, 0, -1], [0.5, -1, 0.5]])
    fixed = [(0.3, light, 0, 0), (0.15, light, 0, 1), (0.15, light, 1, 0)]
    turning = [(0.1, red, 0, 0), (0.1, green, 0, 0), (0.1, light, 1, 1), (0.1, light, 0, 2)]
    first = iteration % len(turning)
    directions = [*fixed, *turning[first:], *turning[:first]][: system.planes]
    bases = [
        step * colour[:, None, None] * np.outer(wave[y], wave[x])
        for step, colour, y, x in directions
    ]
    return np.stack(bases).astype(np.float32)


def _kernel(system: System, stage: int) -> NDArray[np.float32]:
    iterations = range(system.slots) if system.slots > 1 else [stage]
    return np.concatenate([_bases(system, t) for t in iterations])


def _analysis(system: System, stage: int) -> bytes:
    kernel = _kernel(system, stage) / (COLOURS * STRIDE * STRIDE)
    conv = node("Conv", ["residual", "kernel"], ["activation"], strides=[STRIDE] * 2)
    outputs = [image("activation", len(kernel))]
    return model([conv], [image("residual", COLOURS)], outputs, {"kernel": kernel})


def _synthesis(system: System, stage: int) -> bytes:
    kernel = _kernel(system, stage).copy()
    for slot in range(system.slots):
        iteration = slot if system.slots > 1 else stage
        if system.reconstruction == "one_shot":  # an additive codec divides by the gains instead
            kernel[slot * system.planes : (slot + 1) * system.planes] *= SHRINK**iteration
    output = "added" if system.states else "x_hat"
    nodes = [node("ConvTranspose", ["codes", "kernel"], [output], strides=[STRIDE] * 2)]
    inputs, outputs = [image("codes", len(kernel))], [image("x_hat", COLOURS)]
    if system.states:
        nodes.append(node("Add", ["picture", "added"], ["x_hat"]))
        nodes.append(node("Identity", ["x_hat"], ["picture_next"]))
        inputs.append(image("picture", COLOURS))
        outputs.append(image("picture_next", COLOURS))
    return model(nodes, inputs, outputs, {"kernel": kernel})


def _tables(system: System) -> bytes:
    """Random integer tables, so that contexts matter."""
    rng = np.random.default_rng(system.bitstream_id)
    steps = (system.iterations, 2 * system.planes)
    odds = (np.arange(2048) - 1023.5) / 300
    arrays = {
        "w1": rng.integers(-20, 21, (system.iterations, 3, system.planes, 9, HIDDEN)),
        "b1": rng.integers(0, 120, (*steps, HIDDEN)),
        "w2": rng.integers(-30, 31, (*steps, HIDDEN)),
        "b2": rng.integers(-900, 900, steps),
    }
    types = {"w1": np.int8, "b1": np.int16, "w2": np.int8, "b2": np.int32}
    tables = {name: array.astype(types[name]) for name, array in arrays.items()}
    probability = np.clip(np.rint(65536 / (1 + np.exp(-odds))), 1, 65535).astype(np.uint16)
    buffer = io.BytesIO()
    np.savez(buffer, probability=probability, **tables)
    return buffer.getvalue()
