"""The `Codec` interface, the codec class of each model family, and `open_codec`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.effort import Effort
from thumbstream.codec.iterative.codec import IterativeCodec
from thumbstream.codec.lapped.codec import LappedCodec
from thumbstream.codec.model_folder import Artifact, open_artifact
from thumbstream.codec.prefix_search import PrefixDecoder, Target
from thumbstream.errors import ArtifactError


class Codec(Protocol):
    """Encodes pixels to a progressive stream and decodes any prefix of a stream to pixels.

    Codecs are synchronous and thread-safe. Their work is CPU-bound unless the networks run on CUDA.
    """

    model_id: str
    bitstream_id: int
    providers: tuple[str, ...]
    """ONNX Runtime execution providers of the codec's networks, in order of preference."""
    manifest: dict[str, Any]
    """Complete manifest of the model folder."""
    alpha: bool
    """Whether the codec supports transparency."""

    def encode(
        self,
        pixels: NDArray[np.uint8],
        *,
        max_bytes: int | None = None,
        target: Target | None = None,
        aspect: tuple[int, int] | None = None,
        effort: Effort = Effort.DEFAULT,
    ) -> bytes:
        """Encode ``(H, W, 3)`` RGB or ``(H, W, 4)`` RGBA uint8 pixels to a stream.

        The long side of ``pixels`` must be a multiple of 8 from 8 to 256. ``max_bytes`` cuts the
        stream to that length. With a quality ``target`` the result is the shortest prefix found
        that reaches the target, or the complete stream if no prefix does; with a target in bytes
        it is a stream of at most that length. ``aspect`` is the width and height of the original;
        headers of some formats can store this ratio. ``effort`` has an effect in the lapped family.

        Raises `ValueError` for invalid arguments, for ``max_bytes`` together with ``target``, and
        for 4 channels if `alpha` is false.
        """

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

        The decoder may reuse symbols that the encoder computed, so it must not decode any other
        stream.
        """

    def decode(self, stream: bytes) -> NDArray[np.uint8]:
        """Decode a stream or a prefix of a stream; raises `BitstreamError`.

        Returns ``(H, W, 4)`` uint8 pixels if the stream has alpha, else ``(H, W, 3)``.
        """

    def decode_prefixes(self, stream: bytes, lengths: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """Yield ``decode(stream[:n])`` for every ``n`` of ``lengths``, in one pass over the stream.

        Raises `ValueError` if ``lengths`` decrease, and `BitstreamError` as `decode` does.
        """

    def inspect(self, stream: bytes) -> dict[str, Any]:
        """Describe a stream or a prefix of a stream; raises `BitstreamError`.

        Keys: ``model`` and ``bitstream_id`` (both None if the header is cut before the bitstream
        id), ``width``, ``height``, ``alpha``, ``aspect_ratio``, ``length`` and ``header_length``
        in bytes, ``cells``, ``bits_per_pixel``, and the keys of the model family.
        """


FAMILIES: dict[str, Callable[..., Codec]] = {
    **dict.fromkeys(
        ("fc_residual", "fc_lstm", "conv_autoencoder", "conv_residual", "conv_lstm"), IterativeCodec
    ),
    "lapped": LappedCodec,
}
"""Codec class by the family name of a manifest; called as ``(artifact, *, device)``."""


def open_codec(folder: Path, *, device: str = "auto") -> Codec:
    """Open the codec of the model in ``folder``; raises `ArtifactError` or `DeviceError`.

    ``device``: ``auto`` (CUDA if it works, else the CPU), ``cpu`` or ``cuda``.
    """
    artifact: Artifact = open_artifact(folder)
    if artifact.family not in FAMILIES:
        raise ArtifactError(f"{artifact.model_id}: unknown family {artifact.family!r}")
    return FAMILIES[artifact.family](artifact, device=device)
