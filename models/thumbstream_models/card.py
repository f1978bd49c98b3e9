"""The model card: what a person should know before relying on a published model."""

from __future__ import annotations

from typing import Any


def model_card(manifest: dict[str, Any], notes: str, sources: str) -> str:
    """Markdown text for ``manifest``.

    ``notes`` tells how the training left its configuration, ``sources`` where the pictures come
    from.
    """
    training, measured = manifest["training"], manifest["measured"]
    held_out = measured["held_out"]
    batch = training["config"]["training"]["batch_size"]
    size = sum(entry["bytes"] for entry in manifest["files"].values())
    curve = "\n".join(
        f"| {p['step']} | {p['minutes'] / 60:.2f} | {p['psnr_1']:.2f} | {p['psnr_4']:.2f} "
        f"| {p['psnr_16']:.2f} | {p['ssim_4']:.3f} | {p['ssim_16']:.3f} |"
        for p in training["curve"]
    )
    points = "\n".join(
        f"| {p['bytes']} | {p['ssim']:.3f} | {p['psnr']:.2f} |" for p in held_out["points"]
    )
    bits = ", ".join(f"{b:.3f}" for b in measured["bits_per_code"])
    return f"""# {manifest["model_id"]}

The convolutional/deconvolutional LSTM compressor of {manifest["paper"]}:
{manifest["iterations"]} iterations of {manifest["planes"]} binary codes per cell of
{manifest["stride"]} x {manifest["stride"]} pixels, each iteration drawing the whole picture again
from what is known so far. {training["parameters"]:,} parameters, {size / 1e6:.1f} MB.

## Use

Previews of 8 to 256 pixels, at 16 to 256 bytes for 32 x 32. Not a codec for pictures that must be
exact: text, faces and small marks in a preview of some dozen bytes are the network's guess.

## Training

{training["hours"]:.1f} hours on two CPU cores, {training["steps"]:,} steps of {batch} crops.
{notes}

Trained on {training["pictures"]:,} pictures. {sources.strip()}
No picture is part of this repository; the hash of the files that were read is in the manifest.

Held-out pictures during training, after 1, 4 and 16 iterations (moving-average weights, whole
codes, before entropy coding):

| step | hours | PSNR 1 | PSNR 4 | PSNR 16 | SSIM 4 | SSIM 16 |
|---|---|---|---|---|---|---|
{curve}

## Measured

Real streams of {held_out["pictures"]} held-out pictures at
{held_out["size"][1]} x {held_out["size"][0]}, header counted; whole streams take
{held_out["mean_length"]} bytes on average.

| bytes | SSIM | PSNR dB |
|---|---|---|
{points}

Bits per code after entropy coding, by iteration: {bits}.
Largest difference between PyTorch and ONNX Runtime: {measured["parity"]:.1g} (samples in [-1, 1]).
The public test sets are in docs/benchmark.md.

## Limits

Trained on 32 x 32 crops: larger grids work, but spend their bytes less well. The validation curve
had not flattened when the training ended; more compute would help first where bytes are many.
"""
