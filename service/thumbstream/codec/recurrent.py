"""The paper's recurrent codec: networks around the codes, the context model around the bytes.

Encoding::

    pad -> [ analysis(gain * residual) -> activation -> sign -> codes -> write
             synthesis(codes) -> x_hat; residual = x - x_hat ] x T

Decoding::

    read codes -> [ synthesis(codes) ] x iterations that the prefix reaches -> crop
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.artifact import Artifact, StateTensor
from thumbstream.codec.bitstream import parse_header, write_header
from thumbstream.codec.codes import Grid, grid_of
from thumbstream.codec.entropy import CodeWriter, ContextModel, DecodedCodes, read_codes
from thumbstream.codec.errors import ArtifactError, BitstreamError
from thumbstream.codec.networks import Float, Network

COLOURS = 3
UNKNOWN_PICTURE = 128
"""Value of every sample while the stream is too short to say which model reads it."""


class _Recurrence:
    """A network with its state: call it once per iteration."""

    def __init__(self, network: Network, states: tuple[StateTensor, ...], grid: Grid) -> None:
        self._network = network
        self._input, *self._names = network.inputs
        self._state: list[Float] = [
            np.zeros((1, s.channels, s.scale * grid.rows, s.scale * grid.columns), np.float32)
            for s in states
        ]

    def __call__(self, value: Float) -> Float:
        inputs = dict(zip(self._names, self._state, strict=True))
        output, *self._state = self._network.run({self._input: value, **inputs})
        return output


def _open_network(artifact: Artifact, name: str, channels: int, device: str) -> Network:
    """The step ``name``, whose inputs are a value of ``channels`` channels and the named states."""
    network = Network(artifact.file(f"{name}.onnx"), device)
    states = [(state.name, state.channels) for state in artifact.states.get(name, ())]
    value, *carried = network.channels.items()
    if value[1] != channels or carried != states or len(network.outputs) != len(network.inputs):
        raise ArtifactError(f"{artifact.model_id}: the {name} network and the manifest disagree")
    return network


class RecurrentCodec:
    """Codec of the conv/deconv LSTM family. Thread-safe: nothing changes after construction."""

    def __init__(self, artifact: Artifact, *, device: str = "auto") -> None:
        """Open the networks and tables of ``artifact``.

        Raises `ArtifactError` when they do not fit each other, `DeviceError` when ``device`` cannot
        be had.
        """
        self.model_id = artifact.model_id
        self.bitstream_id = artifact.bitstream_id
        self.manifest = artifact.manifest
        self._stride = artifact.stride
        self._planes = artifact.planes
        self._states = artifact.states
        self._gains = np.asarray(artifact.residual_gains, np.float32)
        self._context_model = ContextModel(artifact.arrays("entropy.npz"))
        model = self._context_model
        if (model.iterations, model.planes) != (artifact.iterations, artifact.planes):
            raise ArtifactError(f"{self.model_id}: tables and manifest disagree")
        slots = artifact.planes * artifact.iterations
        self._analysis = _open_network(artifact, "analysis", COLOURS, device)
        self._synthesis = _open_network(artifact, "synthesis", slots, device)
        self.providers = self._synthesis.providers

    def encode(self, pixels: NDArray[np.uint8], *, max_bytes: int | None = None) -> bytes:
        """Stream of a picture, most important bytes first.

        ``pixels`` is ``(H, W, 3)`` uint8 RGB on the thumbnail grid: the long side a multiple of 8
        from 8 to 256. With ``max_bytes`` the result is the first ``max_bytes`` bytes of the whole
        stream, made without the iterations that would be cut off. Raises `ValueError`.
        """
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
            raise ValueError(f"pixels must be (H, W, 3) uint8, not {pixels.shape} {pixels.dtype}")
        if max_bytes is not None and max_bytes < 1:
            raise ValueError("max_bytes must be 1 or more")
        height, width, _ = pixels.shape
        header = write_header(self.bitstream_id, width, height)
        grid = grid_of(height, width, self._stride)
        x = self._to_network(pixels, grid)
        analyse = self._recurrence(self._analysis, "analysis", grid)
        synthesise = self._recurrence(self._synthesis, "synthesis", grid)
        writer = CodeWriter(self._context_model, grid)
        residual = x
        for t, gain in enumerate(self._gains):
            own = slice(t * self._planes, (t + 1) * self._planes)
            activation = analyse(residual * gain)[0, own]
            codes = np.where(activation >= 0, np.float32(1), np.float32(-1))
            writer.write(codes)
            if max_bytes is not None and len(header) + writer.settled() >= max_bytes:
                break
            if t < len(self._gains) - 1:
                residual = x - synthesise(self._in_slot(codes, t))
        return (header + writer.finish())[:max_bytes]

    def decode(self, stream: bytes) -> NDArray[np.uint8]:
        """Picture of a stream or of any prefix of one: ``(H, W, 3)`` uint8 RGB.

        What the prefix does not determine takes its expected value; bytes behind the end of the
        stream are ignored. Raises `BitstreamError`.
        """
        header = parse_header(stream)
        if header.bitstream_id is None:
            return np.full((header.height, header.width, 3), UNKNOWN_PICTURE, np.uint8)
        grid = grid_of(header.height, header.width, self._stride)
        synthesise = self._recurrence(self._synthesis, "synthesis", grid)
        for t, codes in enumerate(self.read_codes(stream).codes):
            x_hat = synthesise(self._in_slot(codes, t))
        pixels = np.clip(np.rint((x_hat[0] + 1) * 127.5), 0, 255).astype(np.uint8)
        return np.ascontiguousarray(pixels.transpose(1, 2, 0)[: header.height, : header.width])

    def read_codes(self, stream: bytes) -> DecodedCodes:
        """The codes that ``stream`` determines; raises `BitstreamError`."""
        header = parse_header(stream)
        if header.bitstream_id is not None and header.bitstream_id != self.bitstream_id:
            raise BitstreamError(
                f"the stream is of bitstream {header.bitstream_id}; "
                f"{self.model_id} reads bitstream {self.bitstream_id}"
            )
        grid = grid_of(header.height, header.width, self._stride)
        return read_codes(stream[header.length :], self._context_model, grid)

    def _recurrence(self, network: Network, name: str, grid: Grid) -> _Recurrence:
        return _Recurrence(network, self._states[name], grid)

    def _in_slot(self, codes: Float, iteration: int) -> Float:
        """``(planes, rows, columns)`` among the channels of all iterations, the others zero."""
        planes, rows, columns = codes.shape
        slots = np.zeros((1, planes * len(self._gains), rows, columns), np.float32)
        slots[0, iteration * planes : (iteration + 1) * planes] = codes
        return slots

    def _to_network(self, pixels: NDArray[np.uint8], grid: Grid) -> Float:
        """``(1, 3, H', W')`` float32 in [-1, 1], its edges repeated out to whole cells."""
        height, width, _ = pixels.shape
        below, right = grid.rows * self._stride - height, grid.columns * self._stride - width
        padded = np.pad(pixels, ((0, below), (0, right), (0, 0)), mode="edge")
        x = padded.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(127.5) - 1
        return np.ascontiguousarray(x, np.float32)
