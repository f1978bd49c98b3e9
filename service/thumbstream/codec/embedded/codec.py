"""The codec of embedded latents: one transform, nested quantisation, every prefix a picture.

Encoding::

    pad -> analysis network -> latents -> search, or the nearest states -> digits -> bytes

Decoding::

    bytes -> digits -> values and levels -> synthesis network -> crop

The synthesis network sees how far each latent is known, and so draws any state once: a prefix costs
as much as the whole stream. Transparency is a second picture in lockstep (`alpha`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, islice, pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.alpha import merge_alpha, split_alpha
from thumbstream.codec.bitstream import (
    Header,
    describe_header,
    parse_header,
    placeholder_image,
    write_header,
)
from thumbstream.codec.embedded import rdo as flipsearch
from thumbstream.codec.embedded.context import EmbeddedContextModel
from thumbstream.codec.embedded.params import EmbeddedParams
from thumbstream.codec.embedded.quantizer import DecodedSymbols, EmbeddedQuantizer, States
from thumbstream.codec.embedded.rdo import EncoderInput, RateDistortionOptimizer
from thumbstream.codec.embedded.symbols import SymbolDecoder, SymbolEncoder
from thumbstream.codec.model_folder import Artifact
from thumbstream.codec.prefix_search import (
    BYTES,
    PrefixDecoder,
    Target,
    check_limits,
    shortest_prefix,
)
from thumbstream.codec.runtime import OnnxNetwork
from thumbstream.codec.tensors import Float, Grid, cell_grid, denormalize, normalize
from thumbstream.errors import ArtifactError, BitstreamError

COLOURS = 3
BATCH_PIXELS = 1 << 14
"""Of the pictures that the synthesis network draws at once: 16 of 32 x 32."""


class EmbeddedCodec:
    """Codec of the embedded family. Thread-safe: nothing changes after construction."""

    alpha = True
    """It codes transparency."""

    def __init__(self, artifact: Artifact, *, device: str = "auto") -> None:
        """Open the networks and tables of ``artifact``.

        Raises `ArtifactError` when they do not fit each other, and `DeviceError` when ``device``
        is not available.
        """
        self.model_id = artifact.model_id
        self.bitstream_id = artifact.bitstream_id
        self.manifest = artifact.manifest
        self._stride = artifact.stride
        self._quantizer = EmbeddedQuantizer(EmbeddedParams.from_artifact(artifact))
        self._context_model = EmbeddedContextModel(artifact.arrays("entropy.npz"), self._quantizer)
        self._analysis = OnnxNetwork(artifact.file("analysis.onnx"), device)
        self._synthesis = OnnxNetwork(artifact.file("synthesis.onnx"), device)
        self._check_networks()
        self._search = (
            RateDistortionOptimizer(artifact, self._context_model, device)
            if flipsearch.NETWORK in artifact.files
            else None
        )
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

        ``pixels`` is ``(H, W, 3)`` uint8 RGB, or ``(H, W, 4)`` with straight alpha, on the
        thumbnail grid: the long side a multiple of 8 from 8 to 256. With ``max_bytes`` the result
        is the first ``max_bytes`` bytes of the whole stream.

        With ``target`` it is the shortest prefix that reaches the goal, measured by decoding, or
        the whole stream where none does; of a goal in bytes, the best stream of so many bytes.
        ``aspect``: width and height of the original, which the header may name exactly.

        Raises `ValueError`, also for ``max_bytes`` and ``target`` together.
        """
        return self.encode_traced(pixels, max_bytes=max_bytes, target=target, aspect=aspect)[0]

    def encode_traced(
        self,
        pixels: NDArray[np.uint8],
        *,
        max_bytes: int | None = None,
        target: Target | None = None,
        aspect: tuple[int, int] | None = None,
    ) -> tuple[bytes, PrefixDecoder]:
        """What `encode` gives, and a decoder of prefixes of it that need not read it again."""
        _check(pixels)
        check_limits(max_bytes, target)
        height, width, channels = pixels.shape
        header = write_header(
            self.bitstream_id, width, height, alpha=channels > COLOURS, aspect=aspect
        )
        subject = self._subject(pixels, cell_grid(height, width, self._stride))
        if target is not None and target.measure == BYTES:
            size = int(target.value)
            return header[:size] + self._best_of(subject, size - len(header)), self
        written = self._written(subject, self._everywhere(subject), max_bytes)
        stream = (header + written.data)[:max_bytes]
        prefixes = _Written(self, len(header), written)
        if target is not None:
            stream = shortest_prefix(prefixes, pixels, stream, target) or stream
        return stream, prefixes

    def decode(self, stream: bytes) -> NDArray[np.uint8]:
        """Picture of a stream or of any prefix of one: ``(H, W, 3)`` uint8, or 4 with alpha.

        Bytes behind the end of the stream are ignored. Raises `BitstreamError`.
        """
        header = parse_header(stream)
        if header.bitstream_id is None:
            return placeholder_image(header)
        return next(self._drawings(header, [self._trace(header, stream).decode_all()]))

    def decode_prefixes(self, stream: bytes, lengths: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """``decode(stream[:n])``, exactly, for every ``n`` of ``lengths``, which must not fall.

        In one pass over the stream, and with one run of the synthesis network for all prefixes that
        determine the same symbols. Raises `ValueError` for lengths that fall, and `BitstreamError`.
        """
        return self._decoded(stream, lengths, self._trace)

    def inspect(self, stream: bytes) -> dict[str, Any]:
        """What ``stream`` says about itself; raises `BitstreamError`.

        Beside what every family tells: ``symbols`` (how many the bytes determine), ``planes`` (that
        are complete) and ``step``, the plane and the group in which the bytes end (None when they
        determine everything).
        """
        header = parse_header(stream)
        found = self._trace(header, stream).decode_all()
        step, (rows, columns) = found.step, found.values.shape[2:]
        return {
            **describe_header(self.model_id, header, len(stream)),
            "cells": rows * columns,
            "symbols": found.decoded_count,
            "planes": self._quantizer.params.planes if step is None else step.plane,
            "step": None if step is None else {"plane": step.plane, "group": step.group},
        }

    def _check_networks(self) -> None:
        """Raise `ArtifactError` unless both networks take and give what a cell has."""
        channels, stride = self._quantizer.params.channels, self._stride
        taken = self._analysis.channels, self._synthesis.channels
        if taken == ({"pixels": COLOURS}, {"values": channels, "levels": channels}):
            pixels = np.zeros((1, COLOURS, stride, stride), np.float32)
            cell = np.zeros((1, channels, 1, 1), np.float32)
            latents = self._analysis.run({"pixels": pixels})[0]
            x_hat = self._synthesis.run({"values": cell, "levels": cell})[0]
            if (latents.shape, x_hat.shape) == (cell.shape, pixels.shape):
                return
        raise ArtifactError(f"{self.model_id}: the networks and the manifest disagree")

    def _subject(self, pixels: NDArray[np.uint8], grid: Grid) -> EncoderInput:
        x = normalize(split_alpha(pixels), grid, self._stride)
        latents = self._analysis.run({"pixels": x})[0]
        return EncoderInput(x, latents.reshape(*latents.shape[:2], grid.cells), grid)

    def _everywhere(self, subject: EncoderInput) -> States:
        """Finest states of a stream that may be cut anywhere."""
        if self._search is None:
            return self._quantizer.quantize(subject.latents)
        return self._search.optimize_all_prefixes(subject)

    def _best_of(self, subject: EncoderInput, size: int) -> bytes:
        """Of the streams with and without a search for their end, cut to ``size``, the better."""
        plain = self._written(subject, self._everywhere(subject), size).data[: max(0, size)]
        found = self._read(plain, subject)
        if self._search is None or size < 1 or found.step is None:
            return plain
        states = self._search.optimize_for_end(subject, found.step)
        searched = self._written(subject, states, size).data[:size]
        drawn = self._read(searched, subject)
        gain = self._search.distortion(subject, found.values, found.levels)
        gain -= self._search.distortion(subject, drawn.values, drawn.levels)
        return searched if gain > 0 else plain

    def _written(self, subject: EncoderInput, states: States, size: int | None) -> SymbolEncoder:
        return SymbolEncoder(self._context_model, states, subject.grid, size)

    def _read(self, payload: bytes, subject: EncoderInput) -> DecodedSymbols:
        layers = len(subject.latents)
        return SymbolDecoder(payload, self._context_model, layers, subject.grid).decode_all()

    def _trace(self, header: Header, stream: bytes) -> SymbolDecoder:
        if header.bitstream_id not in (None, self.bitstream_id):
            raise BitstreamError(
                f"the stream is of bitstream {header.bitstream_id}; "
                f"{self.model_id} reads bitstream {self.bitstream_id}"
            )
        grid = cell_grid(header.height, header.width, self._stride)
        payload = stream[header.length :]
        return SymbolDecoder(payload, self._context_model, 1 + header.alpha, grid)

    def _decoded(
        self, stream: bytes, lengths: Sequence[int], trace: Callable[[Header, bytes], _Trace]
    ) -> Iterator[NDArray[np.uint8]]:
        """`decode_prefixes`, by the ``trace`` of a stream whose header is this."""
        if any(a > b for a, b in pairwise(lengths)):
            raise ValueError("the lengths of prefixes must not fall")
        for header, group in groupby(lengths, lambda n: parse_header(stream[:n])):
            alike = list(group)
            if header.bitstream_id is None:
                yield from (placeholder_image(header) for _ in alike)
            else:
                found = trace(header, stream[: alike[-1]])
                yield from self._drawings(
                    header, found.prefixes([n - header.length for n in alike])
                )

    def _drawings(
        self, header: Header, prefixes: Iterable[DecodedSymbols]
    ) -> Iterator[NDArray[np.uint8]]:
        """The picture of each of growing ``prefixes``; equal ones are drawn once."""
        alike = (list(same) for _, same in groupby(prefixes, lambda found: found.decoded_count))
        samples = (1 + header.alpha) * header.width * header.height
        while batch := list(islice(alike, max(1, BATCH_PIXELS // samples))):
            for x_hat, same in zip(self._draw([same[0] for same in batch]), batch, strict=True):
                picture = denormalize(merge_alpha(x_hat), header.height, header.width)
                yield from (picture.copy() for _ in same)

    def _draw(self, batch: list[DecodedSymbols]) -> Float:
        """``(len(batch), layers, 3, H', W')`` in [-1, 1] or slightly outside, of whole cells."""
        values = np.concatenate([found.values for found in batch])
        levels = np.concatenate([found.levels for found in batch])
        x_hat = self._synthesis.run({"values": values, "levels": levels})[0]
        return x_hat.reshape(len(batch), -1, *x_hat.shape[1:])


class _Trace(Protocol):
    """Symbols that were read or written."""

    def prefixes(self, lengths: Sequence[int]) -> Iterator[DecodedSymbols]:
        """What the first ``n`` bytes determine, for every ``n`` of growing ``lengths``."""


class _Written:
    """Decodes prefixes of a stream that was just written."""

    def __init__(self, codec: EmbeddedCodec, header_length: int, written: SymbolEncoder) -> None:
        self._codec, self._header_length, self._written = codec, header_length, written

    def decode_prefixes(self, stream: bytes, lengths: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """What `EmbeddedCodec.decode_prefixes` gives, of that stream or a prefix of it."""
        return self._codec._decoded(stream, lengths, self._trace)

    def _trace(self, header: Header, stream: bytes) -> _Trace:
        whole = header.length == self._header_length  # else the header is cut
        return self._written if whole else self._codec._trace(header, stream)


def _check(pixels: NDArray[np.uint8]) -> None:
    if pixels.ndim != 3 or pixels.shape[2] not in (COLOURS, COLOURS + 1):
        raise ValueError(f"pixels must be (H, W, 3) or (H, W, 4), not {pixels.shape}")
    if pixels.dtype != np.uint8:
        raise ValueError(f"pixels must be uint8, not {pixels.dtype}")
