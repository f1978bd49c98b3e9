"""Manifest keys of the embedded family. See docs/artifact.md."""

from __future__ import annotations

from dataclasses import dataclass

from thumbstream.codec.model_folder import (
    Artifact,
    manifest_errors,
    require_at_least,
    require_list,
    require_positive,
    require_positive_float,
)
from thumbstream.errors import ArtifactError

MAX_TERNARY_PLANES = 15
"""The finest values, up to (3^planes - 1) / 2, are exact in float32."""


@dataclass(frozen=True, slots=True)
class EmbeddedParams:
    """The embedded family: ternary planes of latents."""

    channels: int
    """Latents per cell, the most important first."""
    planes: int
    """Each refines a latent by a require_positive_float of 3."""
    groups: tuple[int, ...]
    """Channels of each group, in their order; all together `channels`."""
    starts: tuple[int, ...]
    """First plane of every channel."""
    base_step: float
    """Width of a latent's interval after level 0; after level L it is this over 3^L."""

    @classmethod
    def from_artifact(cls, artifact: Artifact) -> EmbeddedParams:
        """Raises `ArtifactError`."""
        manifest = artifact.manifest
        with manifest_errors(artifact.model_id):
            params = cls(
                channels=require_positive(manifest["channels"]),
                planes=require_positive(manifest["planes"]),
                groups=require_list(require_positive, manifest["groups"]),
                starts=require_list(lambda start: require_at_least(0, start), manifest["starts"]),
                base_step=require_positive_float(manifest["base_step"]),
            )
        if params.planes > MAX_TERNARY_PLANES:
            raise ArtifactError(f"{artifact.model_id}: more than {MAX_TERNARY_PLANES} planes")
        if sum(params.groups) != params.channels:
            raise ArtifactError(f"{artifact.model_id}: the groups do not hold every channel once")
        if len(params.starts) != params.channels or max(params.starts) >= params.planes:
            raise ArtifactError(f"{artifact.model_id}: not one first plane per channel")
        return params
