"""Codec of the paper's systems: an encoder E, a binarizer B and a decoder D in T iterations.

::

    encode:  pixels --pad, normalize--> x
             repeat T times:
                 codes    = B(E(gain * residual))              residual = x at first
                 x_hat    = D(codes)                           one-shot reconstruction, or
                 x_hat   += D(codes) / gain                    additive reconstruction
                 residual = x - x_hat
             codes --context model, range coder--> bytes

    decode:  bytes --range decoder, context model--> codes
             --D in each iteration that the prefix reaches--> x_hat --denormalize, crop--> pixels

The manifest says which networks these are and whether they carry state.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.bitstream import (
    Header,
    describe_header,
    parse_header,
    placeholder_image,
    write_header,
)
from thumbstream.codec.iterative.allocation import (
    Iterations,
    RateDistortionTraces,
    encode_with_stops,
)
from thumbstream.codec.iterative.codes import CodeDecoder, CodeEncoder, DecodedCodes
from thumbstream.codec.iterative.context import ContextModel
from thumbstream.codec.iterative.params import IterativeParams
from thumbstream.codec.iterative.transforms import COLOURS, Analysis, State, Synthesis
from thumbstream.codec.model_folder import Artifact
from thumbstream.codec.prefix_search import (
    BYTES,
    PrefixDecoder,
    Target,
    check_limits,
    shortest_prefix,
)
from thumbstream.codec.tensors import Float, Grid, cell_grid, denormalize, normalize
from thumbstream.errors import ArtifactError, BitstreamError

Cells: TypeAlias = NDArray[np.bool_]
"""``(rows, columns)``: a set of cells."""


@dataclass(frozen=True, slots=True)
class _DecodeState:
    """Result of some iterations."""

    x_hat: Float
    """``(1, 3, H', W')`` in [-1, 1] or slightly outside, complete cells."""
    state: State


class IterativeCodec:
    """Codec of all five families of the paper. Thread-safe: nothing changes after construction."""

    alpha = False
    """These families have no transparency."""

    def __init__(self, artifact: Artifact, *, device: str = "auto") -> None:
        """Open the networks and tables of ``artifact``.

        Raises `ArtifactError` if they contradict each other, and `DeviceError` if ``device`` is
        not available.
        """
        self.model_id = artifact.model_id
        self.bitstream_id = artifact.bitstream_id
        self.manifest = artifact.manifest
        params = IterativeParams.from_artifact(artifact)
        self._stride = artifact.stride
        self._planes = params.planes
        self._additive = params.reconstruction == "additive"
        self._cell_stops = params.cell_stops
        self._gains = np.asarray(params.residual_gains, np.float32)
        self._context_model = ContextModel(artifact.arrays("entropy.npz"))
        model = self._context_model
        if (model.iterations, model.planes) != (params.iterations, params.planes):
            raise ArtifactError(f"{self.model_id}: the entropy tables do not match the manifest")
        self._analysis = Analysis(artifact, params, device)
        self._synthesis = Synthesis(artifact, params, device)
        self.providers = self._synthesis.providers

    def encode(
        self,
        pixels: NDArray[np.uint8],
        *,
        max_bytes: int | None = None,
        target: Target | None = None,
        aspect: tuple[int, int] | None = None,
    ) -> bytes:
        """Stream of a picture, most important bytes first.

        ``pixels``: ``(H, W, 3)`` uint8 RGB; the long side is a multiple of 8 from 8 to 256. With
        ``max_bytes`` the result is the stream cut to that length; iterations past it are not run.
        With a quality ``target`` it is the shortest prefix that reaches it, measured by decoding,
        or the complete stream if none does; with a target in bytes it is a stream for exactly that
        length. If cells may stop early, their iterations are allocated for the target. ``aspect``
        has no effect: the headers of these formats express only the pixels.

        Raises `ValueError`, also for ``max_bytes`` and ``target`` together.
        """
        if pixels.ndim != 3 or pixels.shape[2] != COLOURS or pixels.dtype != np.uint8:
            raise ValueError(f"pixels must be (H, W, 3) uint8, got {pixels.shape} {pixels.dtype}")
        check_limits(max_bytes, target)
        if target is None:
            return self._encode_without_stops(pixels, max_bytes)
        if self._cell_stops:
            return encode_with_stops(self, self._collect_traces(pixels), target)
        if target.measure == BYTES:
            return self._encode_without_stops(pixels, int(target.value))
        stream = self._encode_without_stops(pixels, None)
        return shortest_prefix(self, pixels, stream, target) or stream

    def encode_with_decoder(
        self,
        pixels: NDArray[np.uint8],
        *,
        max_bytes: int | None = None,
        target: Target | None = None,
        aspect: tuple[int, int] | None = None,
    ) -> tuple[bytes, PrefixDecoder]:
        """The result of `encode`, and this codec as the decoder of its prefixes."""
        return self.encode(pixels, max_bytes=max_bytes, target=target, aspect=aspect), self

    def decode(self, stream: bytes) -> NDArray[np.uint8]:
        """Picture of a stream or of any prefix of one: ``(H, W, 3)`` uint8 RGB.

        Codes that the prefix does not determine have their expected value; bytes past the end of
        the stream are ignored. Raises `BitstreamError`.
        """
        header = parse_header(stream)
        if header.bitstream_id is None:
            return placeholder_image(header)
        codes = self._code_decoder(header, stream).decode_all()
        return next(self._reconstruct(header, iter([codes])))

    def decode_prefixes(self, stream: bytes, lengths: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """``decode(stream[:n])``, exactly, for every ``n`` of ``lengths``, which must not decrease.

        One pass over the stream, and one run of the synthesis network per length. Raises
        `ValueError` for lengths that decrease, and `BitstreamError`.
        """
        if any(a > b for a, b in pairwise(lengths)):
            raise ValueError("the lengths of prefixes must not decrease")
        # Short prefixes cut the header; a cut header describes another shape.
        for header, group in groupby(lengths, lambda n: parse_header(stream[:n])):
            same_header = list(group)
            if header.bitstream_id is None:
                yield from (placeholder_image(header) for _ in same_header)
            else:
                decoder = self._code_decoder(header, stream[: same_header[-1]])
                prefixes = decoder.prefixes([n - header.length for n in same_header])
                yield from self._reconstruct(header, prefixes)

    def decode_codes(self, stream: bytes) -> DecodedCodes:
        """The codes that ``stream`` determines; raises `BitstreamError`."""
        return self._code_decoder(parse_header(stream), stream).decode_all()

    def inspect(self, stream: bytes) -> dict[str, Any]:
        """Facts about ``stream``; raises `BitstreamError`.

        Besides the keys of every family: ``codes`` (number that the bytes determine),
        ``codes_per_iteration`` (of all cells), ``iterations`` (started), ``stopped_cells`` and
        ``raw_length``, the bytes that the same codes would take without entropy coding.
        """
        header, found = parse_header(stream), self.decode_codes(stream)
        return {
            **describe_header(self.model_id, header, len(stream)),
            "cells": found.active[0].size,
            "codes": found.decoded_count,
            "codes_per_iteration": found.codes[0].size,
            "iterations": len(found.codes) if found.decoded_count else 0,
            "stopped_cells": found.stopped,
            "raw_length": header.length + -(-found.decoded_count // 8),
        }

    def _code_decoder(self, header: Header, stream: bytes) -> CodeDecoder:
        if header.bitstream_id is not None and header.bitstream_id != self.bitstream_id:
            raise BitstreamError(
                f"the stream has bitstream id {header.bitstream_id}, "
                f"but {self.model_id} reads {self.bitstream_id}"
            )
        if header.alpha and header.bitstream_id is not None:
            raise BitstreamError(f"bitstream id {header.bitstream_id} does not support alpha")
        grid = cell_grid(header.height, header.width, self._stride)
        payload = stream[header.length :]
        return CodeDecoder(payload, self._context_model, grid, stops=self._cell_stops)

    def _reconstruct(
        self, header: Header, prefixes: Iterator[DecodedCodes]
    ) -> Iterator[NDArray[np.uint8]]:
        """The picture of each of increasing ``prefixes``; complete iterations are run once."""
        state, done = self._initial_state(cell_grid(header.height, header.width, self._stride)), 0
        pixels, decoded_count = placeholder_image(header), -1
        for found in prefixes:
            if found.decoded_count > decoded_count:
                last = len(found.codes) - 1
                for t in range(done, last):
                    state = self._decode_step(state, t, found.codes[t], found.active[t])
                partial = self._decode_step(state, last, found.codes[last], found.active[last])
                done, decoded_count = last, found.decoded_count
                pixels = denormalize(partial.x_hat[0], header.height, header.width)
            yield pixels

    def _encode_without_stops(self, pixels: NDArray[np.uint8], max_bytes: int | None) -> bytes:
        """The stream in which no cell stops early, or its first ``max_bytes`` bytes."""
        height, width, _ = pixels.shape
        header = write_header(self.bitstream_id, width, height)
        grid = cell_grid(height, width, self._stride)
        encoder = CodeEncoder(self._context_model, grid, stops=self._cell_stops)
        for codes, _ in self._iterate(normalize(pixels[None], grid, self._stride), grid):
            encoder.write(codes)
            if max_bytes is not None and len(header) + encoder.stable_length() >= max_bytes:
                break
        return (header + encoder.finish())[:max_bytes]

    def _iterate(self, x: Float, grid: Grid) -> Iterator[tuple[Float, _DecodeState]]:
        """The codes of every iteration, and the decoder's state before it."""
        decoded, state = self._initial_state(grid), self._analysis.initial_state(grid)
        for t, gain in enumerate(self._gains):
            residual = x - decoded.x_hat
            codes, state = self._analysis(t, residual * gain, state)
            yield codes, decoded
            decoded = self._decode_step(decoded, t, codes)

    def _initial_state(self, grid: Grid) -> _DecodeState:
        shape = (1, COLOURS, grid.rows * self._stride, grid.columns * self._stride)
        return _DecodeState(np.zeros(shape, np.float32), self._synthesis.initial_state(grid))

    def _decode_step(
        self, before: _DecodeState, iteration: int, codes: Float, active: Cells | None = None
    ) -> _DecodeState:
        """Run one iteration. Cells that are not ``active`` (None: all are) keep their pixels."""
        x_hat, state = self._synthesis(iteration, codes, before.state)
        if self._additive:
            x_hat = before.x_hat + x_hat / self._gains[iteration]
        if active is not None and not active.all():
            x_hat = np.where(_upsample(active, self._stride), x_hat, before.x_hat)
        return _DecodeState(x_hat, state)

    def _collect_traces(self, pixels: NDArray[np.uint8]) -> RateDistortionTraces:
        """The picture after every iteration, from which to allocate iterations to cells."""
        height, width, _ = pixels.shape
        grid = cell_grid(height, width, self._stride)
        steps = list(self._iterate(normalize(pixels[None], grid, self._stride), grid))
        codes = [codes for codes, _ in steps]
        last = self._decode_step(steps[-1][1], len(steps) - 1, codes[-1])
        states = [*(state for _, state in steps[1:]), last]

        def write(iterations: Iterations) -> bytes:
            encoder = CodeEncoder(self._context_model, grid, stops=True)
            for t in range(iterations.max()):
                encoder.write(codes[t], iterations > t)
            return write_header(self.bitstream_id, width, height) + encoder.finish()

        x_hats = [denormalize(state.x_hat[0], height, width) for state in states]
        return RateDistortionTraces(pixels, np.stack(x_hats), self._stride, self._planes, write)


def _upsample(cells: NDArray[np.generic], stride: int) -> NDArray[Any]:
    """``(rows, columns)`` to pixels: every cell repeated ``stride`` times in both directions."""
    return cells.repeat(stride, 0).repeat(stride, 1)
