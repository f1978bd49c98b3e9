"""The contribution of each part of the codec: ``thumbstream-models ablate``.

Real streams of a published model, encoded and drawn with and without its networks. With the
checkpoint of its training, also what being progressive costs: the states of a stream that is cut,
against equal intervals for that number of bytes alone, both by the likelihood of the training.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from thumbstream.codec.effort import Effort
from thumbstream.codec.lapped.codec import REFINEMENT, LappedCodec
from thumbstream.codec.lapped.linear_codec import LinearCodec
from thumbstream.codec.model_folder import open_artifact
from thumbstream_models.evaluate import metrics, tables
from thumbstream_models.evaluate.pictures import Pictures
from thumbstream_models.lapped import colour_axes, publish, quantisation
from thumbstream_models.lapped.linear import from_frequencies
from thumbstream_models.lapped.model import Transform
from thumbstream_models.lapped.quantisation import Cut, Quantised
from thumbstream_models.training import runs

BUDGETS = (16, 24, 32, 48, 64, 96, 128, 192, 256)
_QUALITIES = np.linspace(-1.1, 1.3, 9)
_ZERO = 0.65
"""Half of the interval around 0 in steps, where all others are one step wide."""

Row: TypeAlias = dict[int, tuple[float, float]]
"""Mean SSIM and PSNR by bytes."""
Pixels: TypeAlias = NDArray[np.uint8]
"""``(N, H, W, 3)``, sides multiples of 8."""
Quantise: TypeAlias = Callable[[Tensor, Tensor, int], tuple[Quantised, Cut]]
"""Latents, qualities of pictures, and channels of the first group, to what a decoder knows."""


def ablate(folder: Path, pictures: Pixels, checkpoint: Path | None = None) -> dict[str, Row]:
    """Rows by name, of a model folder and, if it is given, the checkpoint that it is made of."""
    artifact = open_artifact(folder)
    files = {name: data for name, data in artifact.files.items() if name != REFINEMENT}
    refined = LappedCodec(artifact, device="cpu")
    plain = LappedCodec(dataclasses.replace(artifact, files=files), device="cpu")
    linear = LinearCodec(artifact)
    rows = {}
    for name, encoder, effort, decoder in (
        ("no network", linear, Effort.FAST, linear),
        ("synthesis alone: effort=fast", plain, Effort.FAST, plain),
        ("analysis alone", plain, Effort.DEFAULT, linear),
        ("both networks", plain, Effort.DEFAULT, plain),
        ("and refinement: effort=default", refined, Effort.DEFAULT, refined),
        ("effort=best", refined, Effort.BEST, refined),
    ):
        bar = tqdm(pictures, unit="picture", desc=name)
        streams = [encoder.encode(pixels, effort=effort) for pixels in bar]
        rows[name] = _of_prefixes(decoder, streams, pictures)
    if checkpoint is not None:
        net = publish.load_rounded(checkpoint).net
        rows["by likelihood, a stream that is cut"] = _by_likelihood(net, pictures, _as_cut)
        rows["by likelihood, equal intervals"] = _by_likelihood(net, pictures, _equal)
    return rows


def report(model: str, pictures: Pictures, rows: dict[str, Row]) -> str:
    """The rows as a page of Markdown."""
    side = pictures.size
    return f"""# Parts of {model}

{len(pictures.pixels)} pictures, central squares, {side} x {side}; mean SSIM / PSNR in dB by bytes
of a stream, header included. By likelihood: without header.

{tables.markdown(table(rows))}"""


def table(rows: dict[str, Row]) -> tables.Rows:
    """A header and a row for each part, SSIM / PSNR."""
    out = [["", *(f"{budget} B" for budget in BUDGETS)]]
    for name, row in rows.items():
        cells = (f"{row[b][0]:.3f} / {row[b][1]:.2f}".removeprefix("0") for b in BUDGETS)
        out.append([name, *cells])
    return out


def _of_prefixes(decoder: LinearCodec, streams: Sequence[bytes], pictures: Pixels) -> Row:
    decoded = [
        np.stack(list(decoder.decode_prefixes(stream, [min(b, len(stream)) for b in BUDGETS])))
        for stream in streams
    ]
    every = zip(BUDGETS, np.stack(decoded, 1), strict=True)
    return {budget: _quality(pictures, found) for budget, found in every}


def _quality(pictures: Pixels, found: Pixels) -> tuple[float, float]:
    return float(metrics.ssim(pictures, found).mean()), float(metrics.psnr(pictures, found).mean())


@torch.no_grad()
def _by_likelihood(
    net: Transform,
    pictures: Pixels,
    quantise: Quantise,
) -> Row:
    """Means at the budgets, linear in the logarithm of the mean bytes."""
    x, first = runs.to_tensor(pictures, torch.device("cpu")), net.groups[0]
    rotation, never = net.rotations(x), torch.zeros(len(x), dtype=torch.bool)
    y = net.latents(x, rotation, "float32")
    points = []
    for quality in tqdm(_QUALITIES, unit="quality", desc="likelihood"):
        q, cut = quantise(y, torch.full((len(x),), float(quality)), first)
        y_hat = torch.cat([from_frequencies(q.value[:, :first]), q.value[:, first:]], 1)
        spent = sum(net.bits(q, y_hat, cut), torch.zeros(len(x))).mean()
        drawn = net.draw(y_hat, q.step, cut.others, never, "float32")
        found = runs.to_pixels(colour_axes.rotated(drawn, rotation.transpose(1, 2)))
        points.append((float(spent) / 8, *_quality(pictures, found)))
    spent, ssim, psnr = np.array(points).T
    at = (np.interp(np.log(BUDGETS), np.log(spent), values) for values in (ssim, psnr))
    return {b: (float(s), float(p)) for b, s, p in zip(BUDGETS, *at, strict=True)}


def _as_cut(y: Tensor, quality: Tensor, first: int) -> tuple[Quantised, Cut]:
    """As the decoder of a stream knows latents that ends at a quality."""
    cut = quantisation.cuts(quality)
    return quantisation.truncated(y, cut, first, noise=False), cut


def _equal(y: Tensor, quality: Tensor, first: int) -> tuple[Quantised, Cut]:
    """All latents in intervals of one step, but for a wider one around 0."""
    nominal = torch.exp(-quantisation.STEP_SLOPE * quality)
    step = nominal[:, None, None, None].expand_as(y)
    count = torch.floor(y.abs() / step + 1 - _ZERO)
    interval = torch.where(count == 0, 2 * _ZERO * step, step)
    middle = torch.where(count == 0, 0.0, torch.sign(y) * (count + _ZERO - 0.5) * step)
    value = middle - torch.sign(middle) * quantisation.SHIFT_TOWARDS_ZERO * step
    begun = torch.ones(len(y), dtype=torch.bool)
    return Quantised(value, step, middle, interval), Cut(nominal, nominal, begun)
