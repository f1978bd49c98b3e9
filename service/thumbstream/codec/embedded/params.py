"""Reads the manifest keys of the embedded family. See docs/model-folder.md."""

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
"""Limit of the planes: the largest state, (3^planes - 1) / 2, must be exact in float32."""


@dataclass(frozen=True, slots=True)
class EmbeddedParams:
    """Manifest parameters of a model of the embedded family."""

    channels: int
    """Number of latents per cell, the most important latent first."""
    planes: int
    """Number of planes (ternary digits per latent); each divides a latent's interval by 3."""
    groups: tuple[int, ...]
    """Number of consecutive channels in each group; the numbers add up to `channels`."""
    starts: tuple[int, ...]
    """Index of the first plane of each channel; earlier planes have no digits for the channel."""
    base_step: float
    """Width of a latent's interval at level 0; at level L it is ``base_step / 3^L``."""

    @classmethod
    def from_artifact(cls, artifact: Artifact) -> EmbeddedParams:
        """Read the parameters from the manifest of ``artifact``; raises `ArtifactError`."""
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
            raise ArtifactError(f"{artifact.model_id}: planes must be at most {MAX_TERNARY_PLANES}")
        if sum(params.groups) != params.channels:
            raise ArtifactError(
                f"{artifact.model_id}: groups must contain each channel exactly once"
            )
        if len(params.starts) != params.channels or max(params.starts) >= params.planes:
            raise ArtifactError(f"{artifact.model_id}: starts must contain a plane per channel")
        return params
