"""The paper's codec: networks around the codes, the context model around the bytes.

Every system of the family is an encoder E, a binarizer B and a decoder D in iterations; which
networks these are and whether they carry state, the manifest says. Encoding::

    pad -> [ E(gain * residual) -> B -> codes -> write
             D(codes) -> x_hat (one-shot), or D(codes) / gain added to x_hat (additive)
             residual = x - x_hat ] x T

Decoding::

    read codes -> [ D(codes) -> x_hat ] x iterations that the prefix reaches -> crop
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
"""``(rows, columns)``: which cells."""


@dataclass(frozen=True, slots=True)
class _Drawing:
    """What is drawn after some iterations."""

    x_hat: Float
    """``(1, 3, H', W')`` in [-1, 1] or slightly outside, of whole cells."""
    state: State


class IterativeCodec:
    """Codec of all five families of the paper. Thread-safe: nothing changes after construction."""

    alpha = False
    """They code colours only."""

    def __init__(self, artifact: Artifact, *, device: str = "auto") -> None:
        """Open the networks and tables of ``artifact``.

        Raises `ArtifactError` when they do not fit each other, and `DeviceError` when ``device``
        is not available.
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
            raise ArtifactError(f"{self.model_id}: tables and manifest disagree")
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

        ``pixels`` is ``(H, W, 3)`` uint8 RGB on the thumbnail grid: the long side a multiple of 8
        from 8 to 256. With ``max_bytes`` the result is the first ``max_bytes`` bytes of the whole
        stream, made without the iterations that would be cut off.

        With ``target`` it is the shortest prefix that reaches the goal, measured by decoding, or
        the whole stream where none does; of a goal in bytes, the best stream of so many bytes.
        Where cells may stop, their iterations are spent where they help most. ``aspect`` changes
        nothing: no header of this family says more of it than the pixels do.

        Raises `ValueError`, also for ``max_bytes`` and ``target`` together.
        """
        if pixels.ndim != 3 or pixels.shape[2] != COLOURS or pixels.dtype != np.uint8:
            raise ValueError(f"pixels must be (H, W, 3) uint8, not {pixels.shape} {pixels.dtype}")
        check_limits(max_bytes, target)
        if target is None:
            return self._encode_plain(pixels, max_bytes)
        if self._cell_stops:
            return encode_with_stops(self, self._courses(pixels), target)
        if target.measure == BYTES:
            return self._encode_plain(pixels, int(target.value))
        stream = self._encode_plain(pixels, None)
        return shortest_prefix(self, pixels, stream, target) or stream

    def encode_traced(
        self,
        pixels: NDArray[np.uint8],
        *,
        max_bytes: int | None = None,
        target: Target | None = None,
        aspect: tuple[int, int] | None = None,
    ) -> tuple[bytes, PrefixDecoder]:
        """What `encode` gives, and a decoder of prefixes of it: this codec."""
        return self.encode(pixels, max_bytes=max_bytes, target=target, aspect=aspect), self

    def decode(self, stream: bytes) -> NDArray[np.uint8]:
        """Picture of a stream or of any prefix of one: ``(H, W, 3)`` uint8 RGB.

        What the prefix does not determine takes its expected value; bytes behind the end of the
        stream are ignored. Raises `BitstreamError`.
        """
        header = parse_header(stream)
        if header.bitstream_id is None:
            return placeholder_image(header)
        trace = self._trace(header, stream)
        return next(self._drawings(header, iter([trace.decode_all()])))

    def decode_prefixes(self, stream: bytes, lengths: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """``decode(stream[:n])``, exactly, for every ``n`` of ``lengths``, which must not fall.

        In one pass over the stream, and with one synthesis step a length. Raises `ValueError` for
        lengths that fall, and `BitstreamError`.
        """
        if any(a > b for a, b in pairwise(lengths)):
            raise ValueError("the lengths of prefixes must not fall")
        for header, group in groupby(lengths, lambda n: parse_header(stream[:n])):
            alike = list(group)
            if header.bitstream_id is None:
                yield from (placeholder_image(header) for _ in alike)
            else:
                trace = self._trace(header, stream[: alike[-1]])
                found = trace.prefixes([n - header.length for n in alike])
                yield from self._drawings(header, found)

    def decode_codes(self, stream: bytes) -> DecodedCodes:
        """The codes that ``stream`` determines; raises `BitstreamError`."""
        return self._trace(parse_header(stream), stream).decode_all()

    def inspect(self, stream: bytes) -> dict[str, Any]:
        """What ``stream`` says about itself; raises `BitstreamError`.

        Beside what every family tells: ``codes`` (how many the bytes determine),
        ``codes_per_iteration`` (of all cells), ``iterations`` (begun), ``stopped_cells`` (which get
        no further iterations) and ``raw_length``, the bytes that the same codes would take without
        entropy coding.
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

    def _trace(self, header: Header, stream: bytes) -> CodeDecoder:
        if header.bitstream_id is not None and header.bitstream_id != self.bitstream_id:
            raise BitstreamError(
                f"the stream is of bitstream {header.bitstream_id}; "
                f"{self.model_id} reads bitstream {self.bitstream_id}"
            )
        if header.alpha and header.bitstream_id is not None:
            raise BitstreamError(f"bitstream {header.bitstream_id} has no alpha")
        grid = cell_grid(header.height, header.width, self._stride)
        payload = stream[header.length :]
        return CodeDecoder(payload, self._context_model, grid, stops=self._cell_stops)

    def _drawings(
        self, header: Header, prefixes: Iterator[DecodedCodes]
    ) -> Iterator[NDArray[np.uint8]]:
        """The picture of each of growing ``prefixes``; what they share is drawn once."""
        drawing, done = self._blank(cell_grid(header.height, header.width, self._stride)), 0
        pixels, known = placeholder_image(header), -1
        for found in prefixes:
            if found.decoded_count > known:
                last = len(found.codes) - 1
                for t in range(done, last):
                    drawing = self._draw(drawing, t, found.codes[t], found.active[t])
                cut = self._draw(drawing, last, found.codes[last], found.active[last])
                done, known = last, found.decoded_count
                pixels = denormalize(cut.x_hat[0], header.height, header.width)
            yield pixels

    def _encode_plain(self, pixels: NDArray[np.uint8], max_bytes: int | None) -> bytes:
        """The stream without stops, or its first ``max_bytes`` bytes."""
        height, width, _ = pixels.shape
        header = write_header(self.bitstream_id, width, height)
        grid = cell_grid(height, width, self._stride)
        writer = CodeEncoder(self._context_model, grid, stops=self._cell_stops)
        for codes, _ in self._iterate(normalize(pixels[None], grid, self._stride), grid):
            writer.write(codes)
            if max_bytes is not None and len(header) + writer.stable_length() >= max_bytes:
                break
        return (header + writer.finish())[:max_bytes]

    def _iterate(self, x: Float, grid: Grid) -> Iterator[tuple[Float, _Drawing]]:
        """Codes of every iteration, and what was drawn before it."""
        drawing, state = self._blank(grid), self._analysis.start(grid)
        for t, gain in enumerate(self._gains):
            residual = x - drawing.x_hat
            codes, state = self._analysis(t, residual * gain, state)
            yield codes, drawing
            drawing = self._draw(drawing, t, codes)

    def _blank(self, grid: Grid) -> _Drawing:
        shape = (1, COLOURS, grid.rows * self._stride, grid.columns * self._stride)
        return _Drawing(np.zeros(shape, np.float32), self._synthesis.start(grid))

    def _draw(
        self, before: _Drawing, iteration: int, codes: Float, active: Cells | None = None
    ) -> _Drawing:
        """One iteration more. Cells that are not ``active`` (None: all are) stay as drawn."""
        x_hat, state = self._synthesis(iteration, codes, before.state)
        if self._additive:
            x_hat = before.x_hat + x_hat / self._gains[iteration]
        if active is not None and not active.all():
            x_hat = np.where(_spread(active, self._stride), x_hat, before.x_hat)
        return _Drawing(x_hat, state)

    def _courses(self, pixels: NDArray[np.uint8]) -> RateDistortionTraces:
        """What stopping cells can choose from: every iteration of every cell."""
        height, width, _ = pixels.shape
        grid = cell_grid(height, width, self._stride)
        steps = list(self._iterate(normalize(pixels[None], grid, self._stride), grid))
        codes = [codes for codes, _ in steps]
        last = self._draw(steps[-1][1], len(steps) - 1, codes[-1])
        drawings = [*(drawing for _, drawing in steps[1:]), last]

        def write(iterations: Iterations) -> bytes:
            writer = CodeEncoder(self._context_model, grid, stops=True)
            for t in range(iterations.max()):
                writer.write(codes[t], iterations > t)
            return write_header(self.bitstream_id, width, height) + writer.finish()

        x_hats = [denormalize(drawing.x_hat[0], height, width) for drawing in drawings]
        return RateDistortionTraces(pixels, np.stack(x_hats), self._stride, self._planes, write)


def _spread(cells: NDArray[np.generic], stride: int) -> NDArray[Any]:
    """``(rows, columns)`` to samples: every cell ``stride`` times in either direction."""
    return cells.repeat(stride, 0).repeat(stride, 1)
