"""Codec of the embedded family: one transform, and every prefix of a stream decodes to a picture.

::

    encode:  pixels --pad, normalize--> x --analysis--> latents --quantize (rdo)--> states
             --digits, plane by plane, context model, range coder--> bytes

    decode:  bytes --range decoder, context model--> digits --> values and levels
             --synthesis--> x_hat --denormalize, crop--> pixels

The inputs of the synthesis network are the values of the latents and the level to which each is
known. One run of the network reconstructs any prefix or the complete stream. Transparency is a
second layer that is coded in lockstep with the colours (`thumbstream.codec.alpha`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, islice, pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.alpha import check_pixels, merge_alpha, split_alpha
from thumbstream.codec.bitstream import (
    Header,
    describe_header,
    parse_header,
    placeholder_image,
    write_header,
)
from thumbstream.codec.effort import Effort
from thumbstream.codec.embedded import rdo
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
"""Limit of the pixels in one run of the synthesis network: 16 opaque pictures of 32 x 32."""


class EmbeddedCodec:
    """Codec of the embedded family. Thread-safe: nothing changes after construction."""

    alpha = True
    """This family supports transparency."""

    def __init__(self, artifact: Artifact, *, device: str = "auto") -> None:
        """Open the networks and tables of ``artifact``; ``device``: ``auto``, ``cpu`` or ``cuda``.

        Raises `ArtifactError` if networks, tables and manifest contradict each other, and
        `DeviceError` if ``device`` is not available.
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
        self._optimizer = (
            RateDistortionOptimizer(artifact, self._context_model, device)
            if rdo.NETWORK in artifact.files
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
        effort: Effort = Effort.DEFAULT,
    ) -> bytes:
        """Encode a picture to a stream, most important bytes first.

        ``pixels``: uint8 ``(H, W, 3)`` RGB or ``(H, W, 4)`` RGBA with straight alpha; the long side
        is a multiple of 8 from 8 to 256. ``max_bytes`` cuts the stream to that length. With a
        quality ``target`` the result is the shortest prefix found that reaches the target, measured
        by decoding, or the complete stream if no prefix does. With a target in bytes the result is
        at most that long, and optimized for that length. ``aspect``: width and height of the
        original, for the header (see `write_header`). ``effort`` has no effect.

        Raises `ValueError` for invalid arguments, and for ``max_bytes`` together with ``target``.
        """
        stream, _ = self.encode_with_decoder(
            pixels, max_bytes=max_bytes, target=target, aspect=aspect, effort=effort
        )
        return stream

    def encode_with_decoder(
        self,
        pixels: NDArray[np.uint8],
        *,
        max_bytes: int | None = None,
        target: Target | None = None,
        aspect: tuple[int, int] | None = None,
        effort: Effort = Effort.DEFAULT,
    ) -> tuple[bytes, PrefixDecoder]:
        """Encode as `encode` does; return the stream and a decoder for prefixes of this stream.

        Without a target in bytes, the decoder uses the encoder's symbols instead of decoding the
        stream's bytes.
        """
        check_pixels(pixels)
        check_limits(max_bytes, target)
        height, width, channels = pixels.shape
        header = write_header(
            self.bitstream_id, width, height, alpha=channels > COLOURS, aspect=aspect
        )
        source = self._analyze(pixels, cell_grid(height, width, self._stride))
        if target is not None and target.measure == BYTES:
            size = int(target.value)
            return header[:size] + self._encode_for_size(source, size - len(header)), self
        symbols = self._encode_symbols(source, self._states(source), max_bytes)
        stream = (header + symbols.data)[:max_bytes]
        prefixes = _EncodedStream(self, len(header), symbols)
        if target is not None:
            stream = shortest_prefix(prefixes, pixels, stream, target) or stream
        return stream, prefixes

    def decode(self, stream: bytes) -> NDArray[np.uint8]:
        """Decode a stream or a prefix of a stream to ``(H, W, 3)`` or, with alpha, ``(H, W, 4)``.

        The pixels are uint8. Bytes after the end of a complete stream are ignored. Raises
        `BitstreamError`.
        """
        header = parse_header(stream)
        if header.bitstream_id is None:
            return placeholder_image(header)
        return next(self._reconstruct(header, [self._symbol_decoder(header, stream).decode_all()]))

    def decode_prefixes(self, stream: bytes, lengths: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """Yield a picture equal to ``decode(stream[:n])`` for every ``n`` of ``lengths``.

        Reads the stream in one pass; prefixes that determine the same symbols share one run of the
        synthesis network. Raises `ValueError` if ``lengths`` decrease, and `BitstreamError`.
        """
        return self._decode_prefixes(stream, lengths, self._symbol_decoder)

    def inspect(self, stream: bytes) -> dict[str, Any]:
        """Describe ``stream`` or a prefix of a stream; raises `BitstreamError`.

        Adds to the keys of every family (`Codec.inspect`): ``symbols``, the number of symbols that
        the bytes determine; ``planes``, the number of complete planes; and ``step``, the plane and
        group in which the bytes end (None if the bytes determine every symbol).
        """
        header = parse_header(stream)
        found = self._symbol_decoder(header, stream).decode_all()
        step, (rows, columns) = found.step, found.values.shape[2:]
        return {
            **describe_header(self.model_id, header, len(stream)),
            "cells": rows * columns,
            "symbols": found.decoded_count,
            "planes": self._quantizer.params.planes if step is None else step.plane,
            "step": None if step is None else {"plane": step.plane, "group": step.group},
        }

    def _check_networks(self) -> None:
        """Raise `ArtifactError` unless inputs and outputs of both networks fit the manifest."""
        channels, stride = self._quantizer.params.channels, self._stride
        inputs = self._analysis.channels, self._synthesis.channels
        if inputs == ({"pixels": COLOURS}, {"values": channels, "levels": channels}):
            pixels = np.zeros((1, COLOURS, stride, stride), np.float32)
            cell = np.zeros((1, channels, 1, 1), np.float32)
            latents = self._analysis.run({"pixels": pixels})[0]
            x_hat = self._synthesis.run({"values": cell, "levels": cell})[0]
            if (latents.shape, x_hat.shape) == (cell.shape, pixels.shape):
                return
        raise ArtifactError(f"{self.model_id}: the networks do not match the manifest")

    def _analyze(self, pixels: NDArray[np.uint8], grid: Grid) -> EncoderInput:
        x = normalize(split_alpha(pixels), grid, self._stride)
        latents = self._analysis.run({"pixels": x})[0]
        return EncoderInput(x, latents.reshape(*latents.shape[:2], grid.cells), grid)

    def _states(self, source: EncoderInput) -> States:
        """Return the final states to encode for a stream that may be cut at any byte."""
        if self._optimizer is None:
            return self._quantizer.quantize(source.latents)
        return self._optimizer.optimize_all_prefixes(source)

    def _encode_for_size(self, source: EncoderInput, size: int) -> bytes:
        """Return the payload of at most ``size`` bytes with the lower distortion, of two payloads.

        One is the cut payload of the stream for all prefixes, the other is optimized for ``size``.
        """
        common = self._encode_symbols(source, self._states(source), size).data[: max(0, size)]
        decoded = self._decode_symbols(common, source)
        if self._optimizer is None or size < 1 or decoded.step is None:
            return common
        states = self._optimizer.optimize_for_end(source, decoded.step)
        optimized = self._encode_symbols(source, states, size).data[:size]
        candidate = self._decode_symbols(optimized, source)
        gain = self._optimizer.distortion(source, decoded.values, decoded.levels)
        gain -= self._optimizer.distortion(source, candidate.values, candidate.levels)
        return optimized if gain > 0 else common

    def _encode_symbols(
        self, source: EncoderInput, states: States, max_bytes: int | None
    ) -> SymbolEncoder:
        return SymbolEncoder(self._context_model, states, source.grid, max_bytes)

    def _decode_symbols(self, payload: bytes, source: EncoderInput) -> DecodedSymbols:
        layers = len(source.latents)
        return SymbolDecoder(payload, self._context_model, layers, source.grid).decode_all()

    def _symbol_decoder(self, header: Header, stream: bytes) -> SymbolDecoder:
        if header.bitstream_id not in (None, self.bitstream_id):
            raise BitstreamError(
                f"the stream has bitstream id {header.bitstream_id}, "
                f"but {self.model_id} reads {self.bitstream_id}"
            )
        grid = cell_grid(header.height, header.width, self._stride)
        payload = stream[header.length :]
        return SymbolDecoder(payload, self._context_model, 1 + header.alpha, grid)

    def _decode_prefixes(
        self,
        stream: bytes,
        lengths: Sequence[int],
        symbol_source: Callable[[Header, bytes], _SymbolSource],
    ) -> Iterator[NDArray[np.uint8]]:
        if any(a > b for a, b in pairwise(lengths)):
            raise ValueError("the lengths of prefixes must not decrease")
        # Short prefixes cut the header, and each cut header is another picture shape.
        for header, group in groupby(lengths, lambda n: parse_header(stream[:n])):
            same_header = list(group)
            if header.bitstream_id is None:
                yield from (placeholder_image(header) for _ in same_header)
            else:
                symbols = symbol_source(header, stream[: same_header[-1]])
                yield from self._reconstruct(
                    header, symbols.prefixes([n - header.length for n in same_header])
                )

    def _reconstruct(
        self, header: Header, prefixes: Iterable[DecodedSymbols]
    ) -> Iterator[NDArray[np.uint8]]:
        """Yield the picture of each of ``prefixes``; runs the synthesis network on batches.

        Consecutive prefixes with equal `decoded_count` share one reconstruction.
        """
        groups = (list(group) for _, group in groupby(prefixes, lambda p: p.decoded_count))
        samples = (1 + header.alpha) * header.width * header.height
        while batch := list(islice(groups, max(1, BATCH_PIXELS // samples))):
            x_hats = self._synthesize([group[0] for group in batch])
            for x_hat, group in zip(x_hats, batch, strict=True):
                picture = denormalize(merge_alpha(x_hat), header.height, header.width)
                yield from (picture.copy() for _ in group)

    def _synthesize(self, batch: list[DecodedSymbols]) -> Float:
        """Run the synthesis network; return ``(len(batch), layers, 3, H', W')``.

        Samples are in [-1, 1] or slightly outside; ``H'`` and ``W'`` cover complete cells.
        """
        values = np.concatenate([symbols.values for symbols in batch])
        levels = np.concatenate([symbols.levels for symbols in batch])
        x_hat = self._synthesis.run({"values": values, "levels": levels})[0]
        return x_hat.reshape(len(batch), -1, *x_hat.shape[1:])


class _SymbolSource(Protocol):
    """Interface that `SymbolEncoder` and `SymbolDecoder` share."""

    def prefixes(self, lengths: Sequence[int]) -> Iterator[DecodedSymbols]:
        """Yield the latents that the first ``n`` bytes determine, for every ``n`` of ``lengths``.

        The lengths must not decrease.
        """


class _EncodedStream:
    """Decodes prefixes of one encoded stream from its encoder's symbols, not from the bytes."""

    def __init__(self, codec: EmbeddedCodec, header_length: int, symbols: SymbolEncoder) -> None:
        self._codec, self._header_length, self._symbols = codec, header_length, symbols

    def decode_prefixes(self, stream: bytes, lengths: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """Do what `EmbeddedCodec.decode_prefixes` does, but only for the encoded stream.

        ``stream``: that stream or a prefix of it.
        """
        return self._codec._decode_prefixes(stream, lengths, self._symbol_source)

    def _symbol_source(self, header: Header, stream: bytes) -> _SymbolSource:
        if header.length == self._header_length:
            return self._symbols
        return self._codec._symbol_decoder(header, stream)  # the header is cut
