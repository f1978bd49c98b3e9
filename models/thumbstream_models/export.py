"""A checkpoint to a published model folder: ONNX networks, integer tables, manifest, model card.

Each network is exported as one iteration with explicit state (docs/adr/0003). Parity with PyTorch
is checked on random pictures of many sizes before anything is written.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from thumbstream.codec.artifact import FORMAT, MANIFEST
from thumbstream_models import networks
from thumbstream_models.train import Run

OPSET = 20
PARITY_TOLERANCE = 1e-4
"""Largest difference to PyTorch, on samples in [-1, 1]."""
BITSTREAM_IDS = {"conv-lstm-1": 0}
"""Bitstream id of every published model: written on the wire, never reused (docs/bitstream.md)."""


class AnalysisStep(nn.Module):
    """``residual, h, c -> activation, h, c``: encoder and binarizer, one iteration.

    ``activation`` holds the channels of every iteration; the codes of iteration ``t`` are the signs
    of channels ``planes * t`` to ``planes * (t + 1) - 1``.
    """

    def __init__(self, net: networks.Compressor) -> None:
        super().__init__()
        self.encoder, self.binarizer = net.encoder, net.binarizer

    def forward(self, residual: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        """One iteration; ``residual`` already has its gain."""
        features, [(h, c)] = self.encoder(residual, [(h, c)])
        return torch.tanh(self.binarizer.conv(features)), h, c


class SynthesisStep(nn.Module):
    """``codes, h1, c1, h2, c2 -> x_hat, h1, c1, h2, c2``: decoder, one iteration.

    ``codes`` has the channels of every iteration; all but those of the current one are zero.
    """

    def __init__(self, net: networks.Compressor) -> None:
        super().__init__()
        self.decoder = net.decoder

    def forward(
        self, codes: Tensor, h1: Tensor, c1: Tensor, h2: Tensor, c2: Tensor
    ) -> tuple[Tensor, ...]:
        """One iteration."""
        x_hat, state = self.decoder.draw(self.decoder.conv(codes), [(h1, c1), (h2, c2)])
        return (x_hat, *(value for pair in state for value in pair))


def analysis_states(net: networks.Compressor) -> list[dict[str, Any]]:
    """Name, channels and scale (in grids) of the analysis step's state tensors."""
    filters = net.encoder.lstm.filters
    return [{"name": name, "channels": filters, "scale": 1} for name in ("h", "c")]


def synthesis_states(net: networks.Compressor) -> list[dict[str, Any]]:
    """Name, channels and scale (in grids) of the synthesis step's state tensors."""
    cells = ((1, net.decoder.lstm1), (2, net.decoder.lstm2))
    return [
        {"name": f"{name}{i}", "channels": lstm.filters, "scale": i}
        for i, lstm in cells
        for name in ("h", "c")
    ]


def _to_onnx(
    step: nn.Module,
    value: str,
    output: str,
    channels: int,
    per_cell: int,
    states: list[dict[str, Any]],
) -> bytes:
    """Export one step; batch, rows and columns stay dynamic."""
    rows, columns = 3, 5  # any size: no dimension may be taken for a constant
    example = [torch.zeros(2, channels, rows * per_cell, columns * per_cell)]
    example += [
        torch.zeros(2, s["channels"], rows * s["scale"], columns * s["scale"]) for s in states
    ]
    names = [s["name"] for s in states]
    axes = {name: {0: "batch", 2: f"{name}_h", 3: f"{name}_w"} for name in [value, output, *names]}
    axes |= {f"{name}_next": axis for name, axis in axes.items() if name in names}
    outputs = [output, *(f"{name}_next" for name in names)]
    return export_bytes(step, tuple(example), [value, *names], outputs, axes)


def export_bytes(
    module: nn.Module,
    example: tuple[Tensor, ...],
    inputs: list[str] | None = None,
    outputs: list[str] | None = None,
    axes: dict[str, dict[int, str]] | None = None,
) -> bytes:
    """``module`` as a checked ONNX file; the same weights give the same bytes."""
    buffer = io.BytesIO()
    torch.onnx.export(
        module.eval(),
        example,
        buffer,  # type: ignore[arg-type]  # accepted by the TorchScript exporter
        input_names=inputs,
        output_names=outputs,
        dynamic_axes=axes,
        opset_version=OPSET,
        dynamo=False,
    )
    model = onnx.load_from_string(buffer.getvalue())
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def to_onnx(net: networks.Compressor) -> dict[str, bytes]:
    """``analysis.onnx`` and ``synthesis.onnx`` of a network on the CPU in float32."""
    net = net.float().eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    stride, slots = networks.STRIDE, net.decoder.conv.in_channels
    return {
        "analysis.onnx": _to_onnx(
            AnalysisStep(net), "residual", "activation", 3, stride, analysis_states(net)
        ),
        "synthesis.onnx": _to_onnx(
            SynthesisStep(net),
            "codes",
            "x_hat",
            slots,
            1,
            synthesis_states(net),
        ),
    }


@torch.no_grad()
def parity(
    net: networks.Compressor, files: dict[str, bytes], iterations: int, *, seed: int = 0
) -> float:
    """Largest absolute difference between PyTorch and ONNX Runtime over random pictures and sizes.

    Both get the same inputs at every iteration.
    """
    rng = np.random.default_rng(seed)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    run = {
        name: onnxruntime.InferenceSession(files[f"{name}.onnx"], options, ["CPUExecutionProvider"])
        for name in ("analysis", "synthesis")
    }
    worst = 0.0
    for rows, columns in ((4, 4), (1, 1), (1, 7), (8, 5), (3, 2)):
        shape = (2, 3, rows * networks.STRIDE, columns * networks.STRIDE)
        x = torch.from_numpy(_smooth_noise(rng, shape))
        encoder = net.encoder.zero_state(2, rows, columns, x)
        decoder = net.decoder.zero_state(2, rows, columns, x)
        r = x
        for t in range(iterations):
            r = net.residual_gain(r, t)
            got = _run(run["analysis"], r, encoder)
            features, encoder = net.encoder(r, encoder)
            activation = net.binarizer.activation(features, t)
            own = slice(t * activation.shape[1], (t + 1) * activation.shape[1])
            difference = (got[0][:, own] - activation).abs().max()
            worst = max(worst, float(difference), _difference(got[1:], encoder))
            codes = net.binarizer(features, t)
            slots = torch.zeros_like(got[0])
            slots[:, own] = codes
            got = _run(run["synthesis"], slots, decoder)
            x_hat, decoder = net.decoder(codes, t, decoder)
            worst = max(worst, float((got[0] - x_hat).abs().max()), _difference(got[1:], decoder))
            r = x - x_hat
    return worst


def _run(session: Any, value: Tensor, states: list[networks.CellState]) -> list[Tensor]:
    values = [value, *(tensor for pair in states for tensor in pair)]
    names = [i.name for i in session.get_inputs()]
    feed = {name: v.contiguous().numpy() for name, v in zip(names, values, strict=True)}
    return [torch.from_numpy(out) for out in session.run(None, feed)]


def _difference(got: list[Tensor], states: list[networks.CellState]) -> float:
    wanted = [tensor for pair in states for tensor in pair]
    return max(float((a - b).abs().max()) for a, b in zip(got, wanted, strict=True))


def _smooth_noise(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    noise = torch.from_numpy(rng.uniform(-1, 1, (shape[0], 3, 6, 6)).astype(np.float32))
    smooth = nn.functional.interpolate(noise, shape[2:], mode="bilinear")
    grain = torch.from_numpy(rng.normal(0, 0.1, shape).astype(np.float32))
    return np.asarray((smooth + grain).clamp(-1, 1).numpy(), np.float32)


def npz_bytes(arrays: dict[str, NDArray[np.generic]]) -> bytes:
    """``arrays`` as a compressed ``.npz`` file; the same arrays give the same bytes."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def write_folder(
    folder: Path,
    run: Run,
    files: dict[str, bytes],
    measured: dict[str, Any],
    *,
    commit: str,
    pictures: int,
) -> dict[str, Any]:
    """Write the published folder (all but the model card) and return its manifest."""
    config = run.config
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "model_id": config.model_id,
        "family": config.model.family,
        "paper": "arXiv 1511.06085",
        "bitstream_id": BITSTREAM_IDS[config.model_id],
        "stride": networks.STRIDE,
        "planes": config.model.code_planes,
        "iterations": len(run.net.residual_gain.gain),
        "residual_gains": run.net.residual_gain.gain.tolist(),
        "states": {
            "analysis": analysis_states(run.net),
            "synthesis": synthesis_states(run.net),
        },
        "files": {
            name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
            for name, data in sorted(files.items())
        },
        "training": {
            "config": config.to_dict(),
            "commit": commit,
            "data_sha256": run.data_sha256,
            "pictures": pictures,
            "steps": run.step,
            "hours": round(run.seconds / 3600, 2),
            "parameters": sum(p.numel() for p in run.net.parameters()),
            "machine": f"{platform.machine()}, torch {torch.__version__}",
            "curve": run.curve,
        },
        "measured": measured,
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return manifest
