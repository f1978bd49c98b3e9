"""Runs ONNX networks.

This is the only module that imports ONNX Runtime. Each network has one session that uses one
thread: requests run in parallel in a pool with one thread per core, and more threads per picture
would only compete for the cores.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

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


def uses_cuda(device: str) -> bool:
    """Return whether networks opened for ``device`` are meant to run on CUDA.

    ``device``: ``cpu``, ``cuda``, or ``auto`` (CUDA if ONNX Runtime was built with it).
    """
    return device == "cuda" or (
        device == "auto" and "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    )


class OnnxNetwork:
    """An ONNX network in memory; `run` may be called from several threads at once."""

    def __init__(self, model: bytes, device: str) -> None:
        """Open a network. ``model``: content of an ONNX file.

        ``device``: ``auto`` (CUDA if it works, else the CPU), ``cpu`` or ``cuda``. Raises
        `DeviceError` if the device is not available (ONNX Runtime alone would use the CPU without
        an error), and `ArtifactError` if ``model`` is not a valid ONNX file.
        """
        available = onnxruntime.get_available_providers()
        has_cuda = "CUDAExecutionProvider" in available
        chosen = ("cuda" if has_cuda else "cpu") if device == "auto" else device
        if chosen not in _PROVIDERS:
            raise DeviceError(f"unknown device {device!r}; use one of {', '.join(DEVICES)}")
        if chosen == "cuda" and has_cuda:
            onnxruntime.preload_dlls()  # CUDA and cuDNN are wheels, outside the search path
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(model, options, _PROVIDERS[chosen])
        except Exception as error:  # ONNX Runtime's exceptions have no public base class
            raise ArtifactError(f"ONNX Runtime cannot open the network: {error}") from error
        self.providers: tuple[str, ...] = tuple(self._session.get_providers())
        if device == "cuda" and "CUDAExecutionProvider" not in self.providers:
            raise DeviceError("device is cuda, but ONNX Runtime cannot use CUDA here")
        self.inputs: tuple[str, ...] = tuple(value.name for value in self._session.get_inputs())
        self.outputs: tuple[str, ...] = tuple(value.name for value in self._session.get_outputs())
        self.channels: dict[str, int] = {
            value.name: value.shape[1] for value in self._session.get_inputs()
        }

    def run(self, inputs: Mapping[str, Float], outputs: Sequence[str] | None = None) -> list[Float]:
        """Run the network on float32 arrays by input name; returns float32 arrays.

        ``outputs``: names of the results, in the order to return (None: all, in file order).
        """
        result: list[Float] = self._session.run(outputs, dict(inputs))
        return result
