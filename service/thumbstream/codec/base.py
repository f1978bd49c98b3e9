"""The interface of every codec, and the class that runs each family of models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.embedded.codec import EmbeddedCodec
from thumbstream.codec.iterative.codec import IterativeCodec
from thumbstream.codec.model_folder import Artifact, open_artifact
from thumbstream.codec.prefix_search import PrefixDecoder, Target
from thumbstream.errors import ArtifactError


class Codec(Protocol):
    """Pixels on the thumbnail grid to a progressive stream, and any prefix of it back.

    Codecs are synchronous, thread-safe and CPU-bound.
    """

    model_id: str
    bitstream_id: int
    providers: tuple[str, ...]
    """Execution providers that ONNX Runtime uses."""
    manifest: dict[str, Any]
    alpha: bool
    """Whether the codec supports transparency."""

    def encode(
        self,
        pixels: NDArray[np.uint8],
        *,
        max_bytes: int | None = None,
        target: Target | None = None,
        aspect: tuple[int, int] | None = None,
    ) -> bytes:
        """``(H, W, 3)`` or, with transparency, ``(H, W, 4)`` uint8 to a stream.

        The long side of ``pixels`` must be a multiple of 8 from 8 to 256. With ``max_bytes`` the
        result is the stream cut to that length; with ``target`` the shortest prefix that reaches
        it, or the complete stream if none does. ``aspect``: width and height of the original, for
        formats whose header can express them. Raises `ValueError`, also for ``max_bytes`` and
        ``target`` together and for 4 channels without ``alpha``.
        """

    def encode_with_decoder(
        self,
        pixels: NDArray[np.uint8],
        *,
        max_bytes: int | None = None,
        target: Target | None = None,
        aspect: tuple[int, int] | None = None,
    ) -> tuple[bytes, PrefixDecoder]:
        """The result of `encode`, and a decoder for prefixes of this one stream.

        The decoder may reuse what the encoder knows instead of reading the stream again.
        """

    def decode(self, stream: bytes) -> NDArray[np.uint8]:
        """The picture of a stream or of a prefix of one; raises `BitstreamError`.

        ``(H, W, 4)`` uint8 if the stream has alpha, else ``(H, W, 3)``.
        """

    def decode_prefixes(self, stream: bytes, lengths: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """``decode(stream[:n])`` for every ``n`` of ``lengths``, in one pass.

        Raises `ValueError` for lengths that decrease, and `BitstreamError`.
        """

    def inspect(self, stream: bytes) -> dict[str, Any]:
        """Facts about a stream or a prefix of one; raises `BitstreamError`.

        ``model``, ``bitstream_id`` (None if the header is cut before it), ``width``, ``height``,
        ``alpha``, ``aspect_ratio``, ``length``, ``header_length``, ``cells``, ``bits_per_pixel``,
        and keys of the family.
        """


FAMILIES: dict[str, Callable[..., Codec]] = {
    **dict.fromkeys(
        ("fc_residual", "fc_lstm", "conv_autoencoder", "conv_residual", "conv_lstm"), IterativeCodec
    ),
    "embedded": EmbeddedCodec,
}
"""Family in the manifest to the codec that runs it: ``(artifact, *, device) -> Codec``."""


def open_codec(folder: Path, *, device: str = "auto") -> Codec:
    """The codec of a published model folder; raises `ArtifactError` or `DeviceError`."""
    artifact: Artifact = open_artifact(folder)
    if artifact.family not in FAMILIES:
        raise ArtifactError(f"{artifact.model_id}: unknown family {artifact.family!r}")
    return FAMILIES[artifact.family](artifact, device=device)
