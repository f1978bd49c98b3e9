"""What every codec can do, and which class reads which family of models."""

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
    """Pixels on the thumbnail grid to a progressive stream, and any prefix of it back."""

    model_id: str
    bitstream_id: int
    providers: tuple[str, ...]
    """ONNX Runtime's execution providers that are really in use."""
    manifest: dict[str, Any]
    alpha: bool
    """Whether it can code transparency."""

    def encode(
        self,
        pixels: NDArray[np.uint8],
        *,
        max_bytes: int | None = None,
        target: Target | None = None,
        aspect: tuple[int, int] | None = None,
    ) -> bytes:
        """``(H, W, 3)`` or, with transparency, ``(H, W, 4)`` uint8 to a stream.

        With ``max_bytes`` its first so many bytes; with ``target`` the shortest that reaches it,
        or the whole stream where none does. ``aspect``: width and height of the original, for a
        header that can say them. Raises `ValueError`, also for 4 channels without ``alpha``.
        """

    def encode_traced(
        self,
        pixels: NDArray[np.uint8],
        *,
        max_bytes: int | None = None,
        target: Target | None = None,
        aspect: tuple[int, int] | None = None,
    ) -> tuple[bytes, PrefixDecoder]:
        """What `encode` gives, and a decoder of prefixes of just that stream.

        The decoder may know from the encoding what it would have to read otherwise.
        """

    def decode(self, stream: bytes) -> NDArray[np.uint8]:
        """The picture of a stream or of a prefix of one; raises `BitstreamError`.

        ``(H, W, 4)`` uint8 where the stream has alpha, else ``(H, W, 3)``.
        """

    def decode_prefixes(self, stream: bytes, lengths: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """``decode(stream[:n])`` for every ``n`` of ``lengths``, in one pass.

        Raises `ValueError` for lengths that fall, and `BitstreamError`.
        """

    def inspect(self, stream: bytes) -> dict[str, Any]:
        """What a stream or a prefix of one says about itself; raises `BitstreamError`.

        ``model``, ``bitstream_id`` (None in a header that is cut before it), ``width``, ``height``,
        ``alpha``, ``aspect_ratio``, ``length``, ``header_length``, ``cells``, ``bits_per_pixel``,
        and what the family has to say.
        """


FAMILIES: dict[str, Callable[..., Codec]] = {
    **dict.fromkeys(
        ("fc_residual", "fc_lstm", "conv_autoencoder", "conv_residual", "conv_lstm"), IterativeCodec
    ),
    "embedded": EmbeddedCodec,
}
"""Manifest's family to the codec that runs it: ``(artifact, *, device) -> Codec``."""


def open_codec(folder: Path, *, device: str = "auto") -> Codec:
    """The codec of a published model folder; raises `ArtifactError` or `DeviceError`."""
    artifact: Artifact = open_artifact(folder)
    if artifact.family not in FAMILIES:
        raise ArtifactError(f"{artifact.model_id}: unknown family {artifact.family!r}")
    return FAMILIES[artifact.family](artifact, device=device)
