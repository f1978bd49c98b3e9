"""Effect of longer trainings and larger decoders: ``thumbstream-models scaling``.

Reads the validation curves in the checkpoints of several trainings and writes them to one JSON
file: quality on held-out pictures by training crops and by synthesis parameters.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from thumbstream_models.embedded.codec_config import STAGES, EmbeddedConfig, StageConfig, from_dict
from thumbstream_models.embedded.transform_networks import Synthesis

FORMAT = 1
_ABOUT = ("step", "minutes", "stage", "loss")


def curve_of(checkpoint: Path) -> dict[str, Any]:
    """Size of the synthesis network and validation points of one training."""
    saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
    config = from_dict(saved["config"])
    parameters = sum(p.numel() for p in Synthesis(config.model).parameters())
    return {
        "model_id": config.model_id,
        "data_sha256": saved["data_sha256"],
        "synthesis_filters": list(config.model.synthesis_filters),
        "synthesis_blocks": list(config.model.synthesis_blocks),
        "synthesis_parameters": parameters,
        "points": [
            {
                "stage": point["stage"],
                "crops": crops_seen(config, point["stage"], point["step"], saved["curve"]),
                "minutes": point["minutes"],
                **{name: value for name, value in point.items() if name not in _ABOUT},
            }
            for point in saved["curve"]
        ],
    }


def crops_seen(config: EmbeddedConfig, stage: str, step: int, curve: list[dict[str, Any]]) -> int:
    """Mean number of training crops up to ``step``."""
    seen, start = 0.0, 0
    for name in STAGES:
        ends = (
            step
            if name == stage
            else max((p["step"] for p in curve if p["stage"] == name), default=start)
        )
        seen, start = seen + (ends - start) * _batch(getattr(config, name)), ends
        if name == stage:
            break
    return round(seen)


def write(checkpoints: list[Path], out: Path) -> dict[str, Any]:
    """Write the curves of ``checkpoints`` to one JSON file, small synthesis networks first."""
    curves = sorted(map(curve_of, checkpoints), key=lambda run: run["synthesis_parameters"])
    found = {"format": FORMAT, "trainings": curves}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found


def table(found: dict[str, Any], measure: str) -> list[list[str]]:
    """A header and a row for each validation: ``measure`` is a key like ``ssim_32px_64``."""
    rows = [["synthesis parameters", "stage", "crops", "minutes", measure]]
    for run in found["trainings"]:
        for point in run["points"]:
            if measure in point:
                numbers = f"{run['synthesis_parameters']:,}", point["stage"], f"{point['crops']:,}"
                rows.append([*numbers, f"{point['minutes']:.0f}", f"{point[measure]}"])
    return rows


def _batch(stage: StageConfig) -> float:
    """Mean crops of a step."""
    return sum(c * b for c, b in zip(stage.size_chances, stage.batch_sizes, strict=True))
