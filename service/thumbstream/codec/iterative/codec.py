"""Codec of the five families of arXiv 1511.06085.

The codec runs an encoder E, a binarizer B and a decoder D in T iterations.

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

The manifest says which reconstruction a model uses, and whether its networks pass state from one
iteration to the next.
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
from thumbstream.codec.effort import Effort
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
"""``(rows, columns)``: True for the cells of a set."""


@dataclass(frozen=True, slots=True)
class _DecodeState:
    """State of decoding after an iteration."""

    x_hat: Float
    """``(1, 3, H', W')`` in [-1, 1] or slightly outside; ``H'`` and ``W'`` cover complete cells."""
    state: State
    """State tensors of the synthesis network."""


class IterativeCodec:
    """Codec of all five families of the paper. Thread-safe: nothing changes after construction."""

    alpha = False
    """These families have no transparency."""

    def __init__(self, artifact: Artifact, *, device: str = "auto") -> None:
        """Open the networks and tables of ``artifact``; ``device``: ``auto``, ``cpu`` or ``cuda``.

        Raises `ArtifactError` if networks, tables and manifest contradict each other, and
        `DeviceError` if ``device`` is not available.
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
        effort: Effort = Effort.DEFAULT,
    ) -> bytes:
        """Encode a picture to a stream, most important bytes first.

        ``pixels``: ``(H, W, 3)`` uint8 RGB; the long side is a multiple of 8 from 8 to 256.
        ``max_bytes`` cuts the stream to that length; later iterations are not run. With a quality
        ``target`` the result is the shortest prefix found that reaches the target, measured by
        decoding, or the complete stream if no prefix does. With a target in bytes the result is at
        most that long. If the format has early stops, the iterations of the cells are allocated for
        the target. ``aspect`` has no effect: the headers of these formats have no aspect codes.
        ``effort`` has no effect either.

        Raises `ValueError` for invalid arguments, and for ``max_bytes`` together with ``target``.
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
        effort: Effort = Effort.DEFAULT,
    ) -> tuple[bytes, PrefixDecoder]:
        """Encode as `encode` does; return the stream and this codec, which decodes its prefixes."""
        return self.encode(pixels, max_bytes=max_bytes, target=target, aspect=aspect), self

    def decode(self, stream: bytes) -> NDArray[np.uint8]:
        """Decode a stream or a prefix of a stream to ``(H, W, 3)`` uint8 RGB.

        Codes that the prefix does not determine are estimated (see `DecodedCodes.codes`). Bytes
        after the end of a complete stream are ignored. Raises `BitstreamError`.
        """
        header = parse_header(stream)
        if header.bitstream_id is None:
            return placeholder_image(header)
        codes = self._code_decoder(header, stream).decode_all()
        return next(self._reconstruct(header, iter([codes])))

    def decode_prefixes(self, stream: bytes, lengths: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """Yield a picture equal to ``decode(stream[:n])`` for every ``n`` of ``lengths``.

        Reads the stream in one pass. The synthesis network runs once per complete iteration, and
        once more per prefix that determines more codes than the previous prefix. Raises
        `ValueError` if ``lengths`` decrease, and `BitstreamError`.
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
        """Return the codes that a stream or a prefix determines; raises `BitstreamError`."""
        return self._code_decoder(parse_header(stream), stream).decode_all()

    def inspect(self, stream: bytes) -> dict[str, Any]:
        """Describe ``stream`` or a prefix of a stream; raises `BitstreamError`.

        Adds to the keys of every family (`Codec.inspect`): ``codes``, the number of codes that the
        bytes determine; ``codes_per_iteration``, the number of codes of an iteration without
        stopped cells; ``iterations``, the number of iterations that the bytes reach;
        ``stopped_cells``, the number of cells that have stopped; and ``raw_length``, the length in
        bytes that the header and these codes would have without entropy coding.
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
        grid = cell_grid(header.height, header.width, self._stride)
        payload = stream[header.length :]
        return CodeDecoder(payload, self._context_model, grid, stops=self._cell_stops)

    def _reconstruct(
        self, header: Header, prefixes: Iterator[DecodedCodes]
    ) -> Iterator[NDArray[np.uint8]]:
        """Yield the picture of each of ``prefixes``, which are sorted by length.

        Complete iterations run once. Prefixes that determine the same codes share one picture.
        """
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
        """Return the stream in which no cell stops early, cut to ``max_bytes`` bytes if given."""
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
        """Yield the codes of every iteration, each with the state of decoding before the iteration.

        ``x``: the original, ``(1, 3, H', W')`` in [-1, 1].
        """
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
        """Decode one iteration and return the new state of decoding.

        Cells that are not ``active`` keep their pixels (None: all cells are active).
        """
        x_hat, state = self._synthesis(iteration, codes, before.state)
        if self._additive:
            x_hat = before.x_hat + x_hat / self._gains[iteration]
        if active is not None and not active.all():
            x_hat = np.where(_upsample(active, self._stride), x_hat, before.x_hat)
        return _DecodeState(x_hat, state)

    def _collect_traces(self, pixels: NDArray[np.uint8]) -> RateDistortionTraces:
        """Encode without early stops and return the traces that the allocation needs."""
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
    """Repeat each of ``(rows, columns)`` cells over its ``stride`` x ``stride`` pixels."""
    return cells.repeat(stride, 0).repeat(stride, 1)
