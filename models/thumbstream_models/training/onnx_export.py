"""Exports PyTorch modules as ONNX files whose bytes depend on the weights alone.

Large weights are stored in half precision; ONNX Runtime widens them once when it opens the file.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

OPSET = 20
PARITY_TOLERANCE = 1e-4
"""Largest allowed difference between ONNX Runtime and PyTorch, of samples in [-1, 1]."""
HALF_FROM = 1024
"""Weights with at least this many elements are stored in half precision."""


@torch.no_grad()
def round_to_half(net: nn.Module) -> None:
    """Round every weight that is stored in half precision."""
    for parameter in net.parameters():
        if parameter.numel() >= HALF_FROM:
            parameter.copy_(parameter.half().float())


def export_bytes(
    module: nn.Module,
    example: tuple[Tensor, ...],
    inputs: list[str] | None = None,
    outputs: list[str] | None = None,
    axes: dict[str, dict[int, str]] | None = None,
    store: Callable[[onnx.ModelProto], None] | None = None,
) -> bytes:
    """``module`` as a checked ONNX file; the same weights give the same bytes.

    ``store`` converts the weights to their stored form (None: large ones to float16).
    """
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
    (store or _store_half)(model)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _store_half(model: onnx.ModelProto) -> None:
    """Store large float32 weights as float16 and a cast if that is lossless."""
    graph = model.graph
    casts = []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        half = values.astype(np.float16) if values.dtype == np.float32 else None
        if half is None or values.size < HALF_FROM or not np.array_equal(half, values):
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(half, f"{name}_half"))
        casts.append(
            onnx.helper.make_node("Cast", [tensor.name], [name], to=onnx.TensorProto.FLOAT)
        )
    for cast in reversed(casts):
        graph.node.insert(0, cast)


def cpu_session(model: bytes) -> onnxruntime.InferenceSession:
    """A session of ONNX Runtime on one thread of the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Smooth colors with some noise, ``shape`` (B, 3, H, W), in [-1, 1]."""
    noise = torch.from_numpy(rng.uniform(-1, 1, (shape[0], 3, 6, 6)).astype(np.float32))
    smooth = nn.functional.interpolate(noise, shape[2:], mode="bilinear")
    grain = torch.from_numpy(rng.normal(0, 0.1, shape).astype(np.float32))
    return np.asarray((smooth + grain).clamp(-1, 1).numpy(), np.float32)
