"""Model card of the product codec: training, quality, limits."""

from __future__ import annotations

from typing import Any

from thumbstream_models.embedded.codec_config import STAGES
from thumbstream_models.lapped.card import measured_tables


def model_card(manifest: dict[str, Any], notes: str, sources: str) -> str:
    """Markdown text for ``manifest``.

    ``notes`` is about this training, ``sources`` about the origin of the pictures.
    """
    training, measured = manifest["training"], manifest["measured"]
    config, stride = training["config"], manifest["stride"]
    return f"""# {manifest["model_id"]}

thumbstream's own codec: a learned transform to {manifest["channels"]} latents per cell of
{stride} x {stride} pixels, embedded quantization in {manifest["planes"]} ternary planes and
{len(manifest["groups"])} groups of channels, an integer context model, and a small network that
reconstructs any prefix.

{_sizes(manifest)}

## Use

Previews of 8 to 256 pixels in 8 to 512 bytes, with transparency.
Not for pictures that must be exact: text, faces and small details in a preview of a few dozen
bytes are guesses of the network.

## Training

{training["hours"]:.1f} hours, {training["steps"]:,} steps in three stages: {_stages(config)}.
{notes}

Trained on {training["pictures"]:,} pictures. {sources.strip()}
No picture is part of this repository; the manifest has a hash of the files.

Held-out pictures during training, SSIM / PSNR in dB by bytes (moving-average weights, rates by the
rate model of the training, no header):

{_curve(training["curve"])}

## Measured

{measured_tables(measured)}

Largest difference between PyTorch and ONNX Runtime: {measured["parity"]:.1g} (samples in [-1, 1]).
Public test sets: docs/benchmark.md.

## Limits

{_slope(training["curve"])}
Trained on crops of {_listed(config["transform"]["sizes"])} pixels: larger grids work, but
less efficiently.
"""


def _sizes(manifest: dict[str, Any]) -> str:
    """Parameters and bytes on the server and in a client."""
    training, client = manifest["training"], manifest["measured"]["client_bytes"]
    size = sum(entry["bytes"] for entry in manifest["files"].values())
    bits = training["config"]["embedding"]["weight_bits"]
    return (
        f"{training['analysis_parameters']:,} parameters for the analysis, "
        f"{training['synthesis_parameters']:,} for the synthesis.\n"
        f"{size / 1e6:.1f} MB on the server; {client / 1000:.0f} KB, compressed, for a client:\n"
        f"synthesis weights of {bits} bits, and the tables of the context model."
    )


def _listed(numbers: list[int]) -> str:
    return " and ".join(map(str, sorted(numbers)))


def _stages(config: dict[str, Any]) -> str:
    first, second, third = (config[stage]["steps"] for stage in STAGES)
    crops = " or ".join(
        f"{batch} crops of {size} pixels"
        for size, batch in zip(
            config["transform"]["sizes"], config["transform"]["batch_sizes"], strict=True
        )
    )
    return (
        f"the transform for all\nrates (scheduled for {first:,} steps of {crops}), then on states "
        f"of truncated streams\n(up to step {second:,}), then the synthesis network alone (up to "
        f"step {third:,})"
    )


def _columns(point: dict[str, Any]) -> list[str]:
    """Sizes and bytes of a point of the curve, like ``32px_64``."""
    return [key.removeprefix("ssim_") for key in point if key.startswith("ssim_")]


def _curve(points: list[dict[str, Any]]) -> str:
    """The validation curve as a table."""
    if not points:
        return "(The training ended before its first validation.)"
    columns = list(dict.fromkeys(column for point in points for column in _columns(point)))
    heads = [f"{c.split('px_')[0]} px, {c.split('px_')[1]} B" for c in columns]
    lines = [f"| stage | step | hours | {' | '.join(heads)} |", "|---" * (len(heads) + 3) + "|"]
    for p in points:
        cells = [
            f"{p[f'ssim_{c}']:.3f} / {p[f'psnr_{c}']:.2f}" if f"ssim_{c}" in p else "-"
            for c in columns
        ]
        head = f"| {p['stage']} | {p['step']} | {p['minutes'] / 60:.2f} "
        lines.append(f"{head}| {' | '.join(cells)} |")
    return "\n".join(lines)


def _slope(points: list[dict[str, Any]]) -> str:
    """A sentence about the gain of the last steps, if there is a validation curve."""
    if len(points) < 2 or points[-2]["stage"] != points[-1]["stage"]:
        return ""
    before, last = points[-2:]
    both = [c for c in _columns(last) if f"ssim_{c}" in before]
    gains = ", ".join(
        f"{last[f'ssim_{c}'] - before[f'ssim_{c}']:+.4f} at {c.split('px_')[1]} bytes"
        for c in both
        if c.startswith("32px")
    )
    return (
        f"The last {last['step'] - before['step']:,} steps, at the end of the learning-rate\n"
        f"schedule, changed the mean SSIM at 32 x 32 by {gains}."
    )
