"""Reads the manifest keys of the iterative families. See docs/model-folder.md."""

from __future__ import annotations

from dataclasses import dataclass

from thumbstream.codec.model_folder import (
    Artifact,
    StateTensor,
    manifest_errors,
    require_choice,
    require_list,
    require_positive,
    require_positive_float,
    require_type,
)
from thumbstream.errors import ArtifactError

NETWORKS = ("analysis", "synthesis")
"""Names of the two transforms of every model."""
RECONSTRUCTIONS = ("one_shot", "additive")
"""The output of the synthesis network is the picture (``one_shot``), or is added to the picture of
the previous iteration (``additive``)."""
WEIGHTS = ("shared", "per_stage")
"""A transform has one network for all iterations (``shared``) or one per iteration."""


@dataclass(frozen=True, slots=True)
class IterativeParams:
    """Manifest parameters of a model of one of the five families of the paper."""

    planes: int
    """Number of binary codes per cell and iteration."""
    iterations: int
    reconstruction: str
    """One of `RECONSTRUCTIONS`."""
    weights: str
    """One of `WEIGHTS`."""
    cell_stops: bool
    """Whether cells are coded independently and may stop before the last iteration."""
    residual_gains: tuple[float, ...]
    """Factor of each iteration. The residual is multiplied by this factor before the analysis
    network; an additive reconstruction divides the output of the synthesis network by it."""
    states: dict[str, tuple[StateTensor, ...]]
    """State tensors of each of `NETWORKS`, in the order of the network's inputs; empty if the
    network is not recurrent."""

    @classmethod
    def from_artifact(cls, artifact: Artifact) -> IterativeParams:
        """Read the parameters from the manifest of ``artifact``; raises `ArtifactError`."""
        manifest = artifact.manifest
        with manifest_errors(artifact.model_id):
            params = cls(
                planes=require_positive(manifest["planes"]),
                iterations=require_positive(manifest["iterations"]),
                reconstruction=require_choice(RECONSTRUCTIONS, manifest["reconstruction"]),
                weights=require_choice(WEIGHTS, manifest["weights"]),
                cell_stops=require_type(bool, manifest["cell_stops"]),
                residual_gains=require_list(require_positive_float, manifest["residual_gains"]),
                states={
                    network: tuple(_state(**state) for state in manifest["states"][network])
                    for network in NETWORKS
                },
            )
        if len(params.residual_gains) != params.iterations:
            raise ArtifactError(
                f"{artifact.model_id}: residual_gains must contain one value per iteration"
            )
        return params

    def file_of(self, network: str, iteration: int) -> str:
        """Return the name of the ONNX file of ``network``, one of `NETWORKS`, for an iteration."""
        stage = f"-{iteration:02d}" if self.weights == "per_stage" else ""
        return f"{network}{stage}.onnx"


def _state(name: object, channels: object, scale: object) -> StateTensor:
    return StateTensor(require_type(str, name), require_positive(channels), require_positive(scale))
