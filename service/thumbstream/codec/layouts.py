"""What the manifests of a family say beyond what every manifest says, read as strictly.

See docs/artifact.md for what the keys mean.
"""

from __future__ import annotations

from dataclasses import dataclass

from thumbstream.codec.manifest import (
    at_least,
    exactly,
    factor,
    list_of,
    manifest_errors,
    one_of,
    positive,
)
from thumbstream.codec.model_folder import Artifact, StateTensor
from thumbstream.errors import ArtifactError

NETWORKS = ("analysis", "synthesis")
"""The two transforms of every model."""
RECONSTRUCTIONS = ("one_shot", "additive")
"""Each iteration draws the whole picture anew, or adds to what is drawn."""
WEIGHTS = ("shared", "per_stage")
"""One network for all iterations, or one for each."""
MAX_TERNARY_PLANES = 15
"""The finest values, up to (3^planes - 1) / 2, are exact in float32."""


@dataclass(frozen=True, slots=True)
class IterativeLayout:
    """The five families of the paper: binary codes in iterations."""

    planes: int
    """Codes per cell and iteration."""
    iterations: int
    reconstruction: str
    """One of `RECONSTRUCTIONS`."""
    weights: str
    """One of `WEIGHTS`."""
    cell_stops: bool
    """Whether cells are coded independently and may stop before the last iteration."""
    residual_gains: tuple[float, ...]
    """Factor on the residual of each iteration before it enters the analysis network; an additive
    reconstruction divides by it again."""
    states: dict[str, tuple[StateTensor, ...]]
    """State tensors of each network, in the order of its inputs; none where nothing is carried."""

    @classmethod
    def of(cls, artifact: Artifact) -> IterativeLayout:
        """Raises `ArtifactError`."""
        manifest = artifact.manifest
        with manifest_errors(artifact.model_id):
            layout = cls(
                planes=positive(manifest["planes"]),
                iterations=positive(manifest["iterations"]),
                reconstruction=one_of(RECONSTRUCTIONS, manifest["reconstruction"]),
                weights=one_of(WEIGHTS, manifest["weights"]),
                cell_stops=exactly(bool, manifest["cell_stops"]),
                residual_gains=list_of(factor, manifest["residual_gains"]),
                states={
                    network: tuple(_state(**state) for state in manifest["states"][network])
                    for network in NETWORKS
                },
            )
        if len(layout.residual_gains) != layout.iterations:
            raise ArtifactError(f"{artifact.model_id}: not one residual gain per iteration")
        return layout

    def file_of(self, network: str, iteration: int) -> str:
        """Name of the file that holds one of `NETWORKS` in an iteration."""
        stage = f"-{iteration:02d}" if self.weights == "per_stage" else ""
        return f"{network}{stage}.onnx"


@dataclass(frozen=True, slots=True)
class EmbeddedLayout:
    """The embedded family: ternary planes of latents."""

    channels: int
    """Latents per cell, the most important first."""
    planes: int
    """Each refines a latent by a factor of 3."""
    groups: tuple[int, ...]
    """Channels of each group, in their order; all together `channels`."""
    starts: tuple[int, ...]
    """First plane of every channel."""
    base_step: float
    """Width of a latent's interval after level 0; after level L it is this over 3^L."""

    @classmethod
    def of(cls, artifact: Artifact) -> EmbeddedLayout:
        """Raises `ArtifactError`."""
        manifest = artifact.manifest
        with manifest_errors(artifact.model_id):
            layout = cls(
                channels=positive(manifest["channels"]),
                planes=positive(manifest["planes"]),
                groups=list_of(positive, manifest["groups"]),
                starts=list_of(lambda start: at_least(0, start), manifest["starts"]),
                base_step=factor(manifest["base_step"]),
            )
        if layout.planes > MAX_TERNARY_PLANES:
            raise ArtifactError(f"{artifact.model_id}: more than {MAX_TERNARY_PLANES} planes")
        if sum(layout.groups) != layout.channels:
            raise ArtifactError(f"{artifact.model_id}: the groups do not hold every channel once")
        if len(layout.starts) != layout.channels or max(layout.starts) >= layout.planes:
            raise ArtifactError(f"{artifact.model_id}: not one first plane per channel")
        return layout


def _state(name: object, channels: object, scale: object) -> StateTensor:
    return StateTensor(exactly(str, name), positive(channels), positive(scale))
