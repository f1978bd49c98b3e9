"""ONNX Runtime behind two calls. No other module imports it.

One session per network, one thread per session: requests run beside each other in a pool of one
thread per core, where several spinning threads per picture would only get in each other's way.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np

from thumbstream.codec.tensors import Float
from thumbstream.errors import ArtifactError, DeviceError

# ONNX Runtime 1.32 keeps usage data in the home directory unless this is set before the import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

# By default ONNX Runtime uses TF32 (10 bits of mantissa) on CUDA. Two of three streams would then
# differ from those of the CPU (docs/adr/0019).
_CUDA = ("CUDAExecutionProvider", {"use_tf32": "0"})
_PROVIDERS: dict[str, list[str | tuple[str, dict[str, str]]]] = {
    "cpu": ["CPUExecutionProvider"],
    "cuda": [_CUDA, "CPUExecutionProvider"],
}
DEVICES = ("auto", *_PROVIDERS)


class OnnxNetwork:
    """One network in memory; `run` may be called from several threads at once."""

    def __init__(self, model: bytes, device: str) -> None:
        """``device``: ``auto`` (CUDA where it works), ``cpu`` or ``cuda``.

        Raises `DeviceError` when the device cannot be had: ONNX Runtime itself would fall back
        without a word. Raises `ArtifactError` for bytes that are no ONNX model.
        """
        available = onnxruntime.get_available_providers()
        has_cuda = "CUDAExecutionProvider" in available
        chosen = ("cuda" if has_cuda else "cpu") if device == "auto" else device
        if chosen not in _PROVIDERS:
            raise DeviceError(f"unknown device {device!r}; known: {', '.join(DEVICES)}")
        if chosen == "cuda" and has_cuda:
            onnxruntime.preload_dlls()  # CUDA and cuDNN come as wheels, on no search path
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(model, options, _PROVIDERS[chosen])
        except Exception as error:  # ONNX Runtime's own exceptions share no public base class
            raise ArtifactError(f"ONNX Runtime cannot open the network: {error}") from error
        self.providers: tuple[str, ...] = tuple(self._session.get_providers())
        if device == "cuda" and "CUDAExecutionProvider" not in self.providers:
            raise DeviceError("CUDA was asked for, but ONNX Runtime cannot use it here")
        self.inputs: tuple[str, ...] = tuple(value.name for value in self._session.get_inputs())
        self.outputs: tuple[str, ...] = tuple(value.name for value in self._session.get_outputs())
        self.channels: dict[str, int] = {
            value.name: value.shape[1] for value in self._session.get_inputs()
        }

    def run(self, inputs: Mapping[str, Float], outputs: Sequence[str] | None = None) -> list[Float]:
        """Run once: float32 arrays by input name to float32 arrays in the order of ``outputs``."""
        result: list[Float] = self._session.run(outputs, dict(inputs))
        return result


MAX_SINGLE_THREADED_SIZE = 1 << 18
"""Multiplications up to which OpenBLAS, which NumPy's wheels bring, uses one thread."""


def matmul_single_threaded(a: Float, b: Float, out: Float | None = None) -> Float:
    """``a @ b`` of ``(m, k)`` and ``(..., k, n)``, into ``out`` where there is one."""
    rows, inner = a.shape
    columns = b.shape[-1]
    together = max(1, MAX_SINGLE_THREADED_SIZE // (rows * inner))
    if columns <= together:
        return np.matmul(a, b, out=out)
    if out is None:
        out = np.empty((*b.shape[:-2], rows, columns), np.float32)
    for first in range(0, columns, together):
        part = slice(first, first + together)
        np.matmul(a, b[..., part], out=out[..., part])
    return out
