"""Model card of a system of the paper: training, quality, limits."""

from __future__ import annotations

from typing import Any

SYSTEMS = {
    "fc_residual": ("fully-connected residual autoencoder on 8x8 patches", "3.2"),
    "fc_lstm": ("fully-connected LSTM compressor on 8x8 patches", "3.3"),
    "conv_autoencoder": ("convolutional/deconvolutional autoencoder of one fixed rate", "3.4"),
    "conv_residual": ("convolutional/deconvolutional residual autoencoder", "3.4"),
    "conv_lstm": ("convolutional/deconvolutional LSTM compressor", "3.5"),
}
"""Family to its name and its section of the paper."""


def _iterations(count: int) -> str:
    return "One iteration" if count == 1 else f"{count} iterations"


def _slope(points: list[dict[str, Any]]) -> str:
    """A sentence about the gain of the last steps, if there is a validation curve."""
    if len(points) < 2:
        return ""
    before, last = points[-2:]
    rises = {key.removeprefix("psnr_"): last[key] - before[key] for key in last if "psnr_" in key}
    gains = ", ".join(f"{rise:+.2f} dB at iteration {t}" for t, rise in rises.items())
    return (
        f"The last {last['step'] - before['step']:,} steps, at the end of the learning-rate\n"
        f"schedule, changed the mean PSNR by {gains}."
    )


def _ways(manifest: dict[str, Any]) -> str:
    """A sentence about how the iterations work together."""
    if manifest["iterations"] == 1:
        return "One iteration codes everything"
    how = (
        "each reconstructs the picture from all codes so far"
        if manifest["reconstruction"] == "one_shot"
        else "each reconstructs the residual, which is added to the picture"
    )
    weights = "have separate" if manifest["weights"] == "per_stage" else "share their"
    return f"The iterations {weights} weights; {how}"


def _curve(points: list[dict[str, Any]]) -> str:
    """The validation curve as a table with a column for each number of iterations measured."""
    if not points:
        return "(The training ended before its first validation.)"
    counts = [key.removeprefix("psnr_") for key in points[-1] if key.startswith("psnr_")]
    columns = [f"psnr_{t}" for t in counts] + [f"ssim_{t}" for t in counts]
    head = [f"PSNR {t}" for t in counts] + [f"SSIM {t}" for t in counts]
    lines = [f"| step | hours | {' | '.join(head)} |", "|---" * (len(head) + 2) + "|"]
    for p in points:
        cells = [f"{p[c]:.2f}" if c.startswith("psnr") else f"{p[c]:.3f}" for c in columns]
        lines.append(f"| {p['step']} | {p['minutes'] / 60:.2f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def model_card(manifest: dict[str, Any], notes: str, sources: str) -> str:
    """Markdown text for ``manifest``.

    ``notes`` is about this training, ``sources`` about the origin of the pictures.
    """
    training, measured = manifest["training"], manifest["measured"]
    held_out = measured["held_out"]
    batch = training["config"]["training"]["batch_size"]
    size = sum(entry["bytes"] for entry in manifest["files"].values())
    name, section = SYSTEMS[manifest["family"]]
    points = "\n".join(
        f"| {p['bytes']} | {p['ssim']:.3f} | {p['psnr']:.2f} |" for p in held_out["points"]
    )
    bits = ", ".join(f"{b:.3f}" for b in measured["bits_per_code"])
    return f"""# {manifest["model_id"]}

The {name} of {manifest["paper"]}, section {section}:
{_iterations(manifest["iterations"])} of {manifest["planes"]} binary codes per cell of
{manifest["stride"]} x {manifest["stride"]} pixels. {_ways(manifest)}.
{training["parameters"]:,} parameters, {size / 1e6:.1f} MB.

## Use

Previews of 8 to 256 pixels; a full stream has {held_out["mean_length"]:.0f} bytes at 32 x 32.
Not for pictures that must be exact: text, faces and small details in a preview of a few dozen
bytes are guesses of the network.

## Training

{training["hours"]:.1f} hours of CPU, {training["steps"]:,} steps of {batch} crops.
{notes}

Trained on {training["pictures"]:,} pictures. {sources.strip()}
No picture is part of this repository; the manifest has a hash of the files.

Held-out pictures during training, by number of iterations (moving-average weights, all codes,
before entropy coding):

{_curve(training["curve"])}

## Measured

Real streams of {held_out["pictures"]} held-out pictures at
{held_out["size"][1]} x {held_out["size"][0]}, header included; full streams have
{held_out["mean_length"]} bytes on average.

| bytes | SSIM | PSNR dB |
|---|---|---|
{points}

Bits per code after entropy coding, by iteration: {bits}.
Largest difference between PyTorch and ONNX Runtime: {measured["parity"]:.1g} (samples in [-1, 1]).
Public test sets: docs/benchmark.md.

## Limits

Trained on 32 x 32 crops: larger grids work, but less efficiently.
{_slope(training["curve"])}
"""
