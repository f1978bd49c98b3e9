"""Model card of the second edition: training, quality, limits."""

from __future__ import annotations

from typing import Any

_SHOWN = ("16", "32", "64", "128", "256")
"""Bytes of the columns of the learning curve, at 32 x 32."""
_MOST_ROWS = 24


def model_card(manifest: dict[str, Any], notes: str, sources: str) -> str:
    """Markdown text for ``manifest``.

    ``notes`` is about this training, ``sources`` about the origin of the pictures.
    """
    training, measured = manifest["training"], manifest["measured"]
    config = training["config"]
    bits = config["model"]["synthesis_bits"]
    server = sum(entry["bytes"] for entry in manifest["files"].values())
    return f"""# {manifest["model_id"]}

thumbstream's own codec, second edition: a lapped linear transform of cells of
{manifest["stride"]} x {manifest["stride"]} pixels, networks that add to its latents and to its
pictures, {manifest["planes"]} binary planes, and an integer context model. The strongest
{manifest["groups"][0]} channels are frequencies of the whole picture; they come first and can be
drawn without a network.

{training["analysis_parameters"]:,} parameters for the analysis, \
{training["synthesis_parameters"]:,} for the synthesis.
{server / 1e6:.1f} MB on the server; {measured["client_bytes"] / 1000:.0f} KB, compressed, for a
client: synthesis weights of mostly {bits} bits, integer tables and the linear transform.

## Use

Previews of 8 to 256 pixels in 8 to 600 bytes, with transparency.
Not for pictures that must be exact: text, faces and small details in a preview of a few dozen
bytes are guesses of the network.

## Training

{training["hours"]:.2f} hours, {training["steps"]:,} steps of \
{_batches(config["crops"])}, with the settings of `models/configs/{manifest["model_id"]}.toml`.
{notes}

Trained on {training["pictures"]:,} pictures. {sources.strip()}
No picture is part of this repository; the manifest has a hash of the files.

Held-out pictures of 32 x 32 during training, SSIM / PSNR in dB by bytes (moving-average weights,
rates by the rate model of the training, no header):

{_curve(training["curve"])}

## Measured

{measured_tables(measured)}

Largest difference between PyTorch and ONNX Runtime: {measured["parity"]:.1g}.
Public test sets: docs/benchmark.md.
"""


def _batches(crops: dict[str, Any]) -> str:
    sizes = zip(crops["batch_sizes"], crops["sizes"], strict=True)
    return " or ".join(f"{count} crops of {size} pixels" for count, size in sizes)


def _curve(points: list[dict[str, Any]]) -> str:
    """The learning curve as a table."""
    if not points:
        return "(The training ended before its first validation.)"
    shown = [c for c in _SHOWN if f"ssim_32px_{c}" in points[-1]]
    every = -(-len(points) // _MOST_ROWS)
    heads = " | ".join(f"{c} B" for c in shown)
    lines = [f"| step | hours | {heads} |", "|---" * (len(shown) + 2) + "|"]
    for point in points[::-1][::every][::-1]:
        cells = (f"{point[f'ssim_32px_{c}']:.3f} / {point[f'psnr_32px_{c}']:.2f}" for c in shown)
        lines.append(f"| {point['step']:,} | {point['minutes'] / 60:.2f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def measured_tables(measured: dict[str, Any]) -> str:
    """A table for every size of held-out pictures."""
    parts = []
    for name, found in measured.items():
        if not name.startswith("held_out"):
            continue
        rows = "\n".join(
            f"| {p['bytes']} | {p['ssim']:.3f} | {p['psnr']:.2f} |" for p in found["points"]
        )
        parts.append(
            f"Prefixes of streams of {found['pictures']} held-out pictures at {found['size'][1]} x "
            f"{found['size'][0]}, header\n"
            f"included; full streams have {found['mean_length']} bytes on average.\n\n"
            f"| bytes | SSIM | PSNR dB |\n|---|---|---|\n{rows}"
        )
    return "\n\n".join(parts)
