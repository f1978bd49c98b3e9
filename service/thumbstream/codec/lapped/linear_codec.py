"""Codec of the lapped family without networks: the linear transform alone.

::

    encode:  pixels --pad, normalize, rotate colours--> samples
             samples --lapping, KLT, scales, DCT--> latents --> states --> bytes
    decode:  bytes --> states --> values --inverse of all these--> pixels

`thumbstream.codec.lapped.codec` adds what networks contribute to the latents and to the picture.
Streams of either are streams of the format, and either decodes them. Transparency is a second layer
that is coded in lockstep with the colours (`thumbstream.codec.alpha`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, islice, pairwise
from typing import Any, NamedTuple, Protocol

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
from thumbstream.codec.lapped.colours import ColourAxes, rotate
from thumbstream.codec.lapped.linear import (
    COLOURS,
    Latents,
    LinearTransform,
    Real,
    from_frequencies,
    to_frequencies,
)
from thumbstream.codec.lapped.params import (
    SIDE,
    ContextTables,
    LappedParams,
    LinearTables,
    LookTables,
)
from thumbstream.codec.lapped.planes import Layout
from thumbstream.codec.lapped.stream_model import StreamModel
from thumbstream.codec.lapped.symbols import DecodedLatents, SymbolDecoder, SymbolEncoder
from thumbstream.codec.model_folder import Artifact
from thumbstream.codec.prefix_search import (
    BYTES,
    PrefixDecoder,
    Target,
    check_limits,
    shortest_prefix,
)
from thumbstream.codec.tensors import Float, Grid, cell_grid, denormalize, normalize
from thumbstream.errors import BitstreamError

BATCH_PIXELS = 1 << 14
"""Limit of the pixels drawn at once: 16 opaque pictures of 32 x 32."""


class Layers(NamedTuple):
    """Colours of a picture and, with alpha, a second layer, as an encoder transforms them."""

    x: NDArray[np.float64]
    """``(layers, 3, 8 h, 8 w)``: pixels in [-1, 1]."""
    rotations: NDArray[np.float64]
    """``(layers, 3, 3)``: what the colours of each layer are multiplied by."""
    samples: NDArray[np.float64]
    """``(layers, 192, h, w)``: samples of cells, after the rotation."""


class LinearCodec:
    """Codec of the lapped family that needs no networks. Thread-safe."""

    alpha = True
    """This family supports transparency."""

    def __init__(self, artifact: Artifact) -> None:
        """Open the tables of ``artifact``; raises `ArtifactError`."""
        self.model_id = artifact.model_id
        self.bitstream_id = artifact.bitstream_id
        self.manifest = artifact.manifest
        self.providers: tuple[str, ...] = ()
        self._params = LappedParams.from_artifact(artifact)
        self._tables = LinearTables.from_arrays(artifact.arrays("linear.npz"), self._params)
        self._linear = LinearTransform(self._tables)
        self._scales = self._tables.scales[:, None, None]
        look = LookTables.from_arrays(artifact.arrays("look.npz"), self._params)
        self._axes = ColourAxes(look.axes)
        self._model = StreamModel(
            self._params,
            look,
            ContextTables.from_arrays(artifact.arrays("contexts.npz"), self._params),
        )

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
        at most that long. ``aspect``: width and height of the original, for the header (see
        `write_header`). ``effort`` has no effect without networks; with them, see `Effort`.

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

        The decoder uses the encoder's symbols instead of decoding the stream's bytes.
        """
        check_pixels(pixels)
        check_limits(max_bytes, target)
        if target is not None and target.measure == BYTES:
            max_bytes, target = int(target.value), None
        height, width, channels = pixels.shape
        alpha = channels > COLOURS
        header = write_header(self.bitstream_id, width, height, alpha=alpha, aspect=aspect)
        grid = cell_grid(height, width, SIDE)
        x = normalize(split_alpha(pixels), grid, SIDE).astype(np.float64)
        axis, layers = self._rotate(x)
        latents = self._analyze(layers, effort).reshape(len(x), -1, grid.cells)
        q = self._model.on_grid(grid).layout.quantize(latents)
        symbols = SymbolEncoder(self._model, q, grid, max_bytes, axis=axis)
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
        decoded = self._symbol_decoder(header, stream).decode_all()
        return next(self._reconstruct(header, [decoded]))

    def decode_prefixes(self, stream: bytes, lengths: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """Yield a picture equal to ``decode(stream[:n])`` for every ``n`` of ``lengths``.

        Reads the stream in one pass; prefixes that determine the same symbols are drawn once.
        Raises `ValueError` if ``lengths`` decrease, and `BitstreamError`.
        """
        return self._decode_prefixes(stream, lengths, self._symbol_decoder)

    def inspect(self, stream: bytes) -> dict[str, Any]:
        """Describe ``stream`` or a prefix of a stream; raises `BitstreamError`.

        Adds to the keys of every family (`Codec.inspect`): ``axis``, the colour axis; ``symbols``,
        the number of symbols that the bytes determine; ``planes``, the number of planes that are
        complete in all groups; and ``step``, the plane and group in which the bytes end (None if
        the bytes determine every symbol).
        """
        header = parse_header(stream)
        found = self._symbol_decoder(header, stream).decode_all()
        step = found.step
        return {
            **describe_header(self.model_id, header, len(stream)),
            "cells": found.q.shape[2],
            "axis": found.axis,
            "symbols": found.symbols,
            "planes": found.planes,
            "step": None if step is None else {"plane": step.plane, "group": step.group},
        }

    def _rotate(self, x: NDArray[np.float64]) -> tuple[int, Layers]:
        """Choose the colour axis for pixels ``(layers, 3, 8 h, 8 w)``, and rotate the colours."""
        samples = self._linear.samples(x)
        terms = self._linear.colour_latents(samples[:1])
        terms = self._scaled(terms.reshape(-1, *terms.shape[2:])).reshape(terms.shape)
        axis = self._axes.choose(x[0], terms)
        rotations = self._axes.rotations[[axis, 0][: len(x)]]
        return axis, Layers(x, rotations, rotate(rotations, samples))

    def _analyze(self, layers: Layers, effort: Effort) -> Latents:
        """Transform the layers of a picture to scaled latents ``(layers, C, h, w)``.

        Group 0 are coefficients.
        """
        return self._scaled(self._linear.latents(layers.samples))

    def _draw(self, values: Float, batch: Sequence[DecodedLatents], layout: Layout) -> Float:
        """Draw latents of cells, without scales, ``(n, C, h, w)``: ``(n, 3, 8 h, 8 w)``, rotated.

        ``batch``: what they come from, a layer of one of these after the other.
        """
        return self._linear.pixels(values)

    def _scaled(self, latents: NDArray[Real]) -> NDArray[Real]:
        """Multiply by scales, transform group 0 to coefficients."""
        scaled = latents * self._scales
        scaled[:, : self._params.first] = to_frequencies(scaled[:, : self._params.first])
        return scaled

    def _symbol_decoder(self, header: Header, stream: bytes) -> SymbolDecoder:
        if header.bitstream_id not in (None, self.bitstream_id):
            raise BitstreamError(
                f"the stream has bitstream id {header.bitstream_id}, "
                f"but {self.model_id} reads {self.bitstream_id}"
            )
        grid = cell_grid(header.height, header.width, SIDE)
        return SymbolDecoder(stream[header.length :], self._model, 1 + header.alpha, grid)

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
        self, header: Header, prefixes: Iterable[DecodedLatents]
    ) -> Iterator[NDArray[np.uint8]]:
        """Yield the picture of each of ``prefixes``; draws batches.

        Consecutive prefixes that determine the same are drawn once.
        """
        grid = cell_grid(header.height, header.width, SIDE)
        groups = (list(group) for _, group in groupby(prefixes, lambda p: (p.axis, p.symbols)))
        samples = (1 + header.alpha) * header.width * header.height
        while batch := list(islice(groups, max(1, BATCH_PIXELS // samples))):
            x_hats = merge_alpha(self._synthesize([group[0] for group in batch], grid))
            pictures = denormalize(x_hats, header.height, header.width)
            for picture, group in zip(pictures, batch, strict=True):
                yield from (picture.copy() for _ in group)

    def _synthesize(self, batch: list[DecodedLatents], grid: Grid) -> Float:
        """Draw pictures: ``(len(batch), layers, 3, 8 h, 8 w)``, samples about in [-1, 1]."""
        layout, first = self._model.on_grid(grid).layout, self._params.first
        q, levels = (np.concatenate(z) for z in zip(*((p.q, p.levels) for p in batch), strict=True))
        shape = -1, self._params.channels, grid.rows, grid.columns
        values = layout.values(q, levels).reshape(shape)
        values[:, :first] = from_frequencies(values[:, :first])
        x_hat = self._draw(values / self._scales, batch, layout)
        x_hat = x_hat.reshape(len(batch), -1, *x_hat.shape[1:])
        rotations = self._axes.rotations[[decoded.axis for decoded in batch]]
        x_hat[:, 0] = rotate(rotations.swapaxes(1, 2), x_hat[:, 0])
        return x_hat


class _SymbolSource(Protocol):
    """Interface that `SymbolEncoder` and `SymbolDecoder` share."""

    def prefixes(self, lengths: Sequence[int]) -> Iterator[DecodedLatents]:
        """Yield the latents that the first ``n`` bytes determine, for every ``n`` of ``lengths``.

        The lengths must not decrease.
        """


class _EncodedStream:
    """Decodes prefixes of one encoded stream from its encoder's symbols, not from the bytes."""

    def __init__(self, codec: LinearCodec, header_length: int, symbols: SymbolEncoder) -> None:
        self._codec, self._header_length, self._symbols = codec, header_length, symbols

    def decode_prefixes(self, stream: bytes, lengths: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """Do what `LinearCodec.decode_prefixes` does, but only for the encoded stream.

        ``stream``: that stream or a prefix of it.
        """
        return self._codec._decode_prefixes(stream, lengths, self._symbol_source)

    def _symbol_source(self, header: Header, stream: bytes) -> _SymbolSource:
        if header.length == self._header_length:
            return self._symbols
        return self._codec._symbol_decoder(header, stream)  # the header is cut
