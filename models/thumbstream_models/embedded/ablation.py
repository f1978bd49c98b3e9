"""The contribution of each part of the product codec: ``thumbstream-models ablate``.

On the same pictures: the transform alone and the embedded states by the likelihood of the training
(without header: a lower bound of the bytes), then streams with uniform probabilities, with fixed
probabilities, with the context model, and with the encoder's search, for all budgets or for each.
Fixed probabilities are those of the measured pictures, so they are better than published ones.
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

from thumbstream.codec.embedded.codec import EmbeddedCodec
from thumbstream.codec.embedded.params import EmbeddedParams
from thumbstream.codec.model_folder import Artifact, open_artifact
from thumbstream.codec.prefix_search import BYTES, Target
from thumbstream.codec.runtime import OnnxNetwork
from thumbstream_models.embedded import train_codec, train_step
from thumbstream_models.embedded.context_fit import ContextNetworks
from thumbstream_models.embedded.symbol_layout import ladder
from thumbstream_models.evaluate import metrics
from thumbstream_models.training import model_writer, runs

BUDGETS = (16, 24, 32, 48, 64, 96, 128, 192, 256)
DECODING = ("analysis.onnx", "synthesis.onnx", "entropy.npz")
"""Files of a codec without search."""
_QUALITIES = 24
_BATCH = 64

Row: TypeAlias = dict[int, tuple[float, float]]
"""Mean SSIM and PSNR by the bytes that are reached."""
Pixels: TypeAlias = NDArray[np.uint8]
"""``(N, H, W, 3)`` uint8, sides multiples of the stride."""


def ablate(
    folder: Path,
    pictures: Pixels,
    *,
    checkpoints: Sequence[Path] = (),
    budgets: Sequence[int] = BUDGETS,
) -> dict[str, Row]:
    """Rows by name.

    ``folder`` is the model folder; each of the ``checkpoints`` of its training adds a row by
    likelihood.
    """
    artifact = open_artifact(folder)
    plain = dataclasses.replace(artifact, files={name: artifact.files[name] for name in DECODING})
    rows: dict[str, Row] = {}
    for checkpoint in checkpoints:
        name, row = by_likelihood(checkpoint, pictures, budgets)
        rows[name] = row
    codec = EmbeddedCodec(artifact, device="cpu")
    for name, other in (
        ("streams, uniform probabilities", with_tables(plain, uniform)),
        ("streams, fixed probabilities", with_tables(plain, fixed_to(plain, pictures))),
        ("streams, context model", EmbeddedCodec(plain, device="cpu")),
        ("and search for all prefixes", codec),
    ):
        rows[name] = of_prefixes(other, pictures, budgets, name)
    rows["and search for each budget"] = of_targets(codec, pictures, budgets)
    return rows


@torch.no_grad()
def by_likelihood(checkpoint: Path, pictures: Pixels, budgets: Sequence[int]) -> tuple[str, Row]:
    """Name of a checkpoint's stage, and its quality by the rate model."""
    device = torch.device("cpu")
    run, stage = train_codec.restore(checkpoint, device)
    config, quantizer = stage.schedule(run.config), stage.quantizer(device)
    bits, rated = stage.weight_bits(run), stage.rate(run)
    points = []
    with runs.averaged_weights(run) as net, torch.random.fork_rng():
        torch.manual_seed(0)
        for quality in np.linspace(*config.qualities, _QUALITIES):
            rate, decoded = [], []
            for first in range(0, len(pictures), _BATCH):
                x = runs.to_tensor(pictures[first : first + _BATCH], device)
                each = torch.full((len(x),), float(quality))
                result = train_step.encode_decode(
                    net, x, each, quantizer, weight_bits=bits, rate=rated
                )
                rate.append(result.bits)
                decoded.append(runs.to_pixels(result.x_hat))
            found = np.concatenate(decoded)
            points.append((float(torch.cat(rate).mean()) / 8, *quality_of(pictures, found)))
    name = "transform alone" if stage.layout is None else "embedded states"
    return f"{name}, likelihood", _interpolated(sorted(points), budgets)


def of_prefixes(codec: EmbeddedCodec, pictures: Pixels, budgets: Sequence[int], name: str) -> Row:
    """Prefixes of one stream per picture."""
    decoded = []
    for pixels in tqdm(pictures, unit="picture", desc=name):
        stream = codec.encode(pixels, max_bytes=max(budgets))
        lengths = [min(budget, len(stream)) for budget in sorted(budgets)]
        decoded.append(np.stack(list(codec.decode_prefixes(stream, lengths))))
    every = np.stack(decoded, 1)
    return {b: quality_of(pictures, found) for b, found in zip(sorted(budgets), every, strict=True)}


def of_targets(codec: EmbeddedCodec, pictures: Pixels, budgets: Sequence[int]) -> Row:
    """A stream for each picture and budget, optimized for that budget."""
    row = {}
    for budget in tqdm(budgets, unit="budget", desc="search"):
        target = Target(BYTES, budget)
        found = np.stack([codec.decode(codec.encode(p, target=target)) for p in pictures])
        row[budget] = quality_of(pictures, found)
    return row


def with_tables(artifact: Artifact, change: Callable[[ContextNetworks], None]) -> EmbeddedCodec:
    """The codec with a context model without inputs, whose probabilities ``change`` sets."""
    blind = ContextNetworks(EmbeddedParams.from_artifact(artifact), hidden=1, middle=1)
    with torch.no_grad():
        for parameter in blind.parameters():
            parameter.zero_()
        change(blind)
    tables = model_writer.npz_bytes(blind.tables())
    files = {**artifact.files, "entropy.npz": tables}
    return EmbeddedCodec(dataclasses.replace(artifact, files=files), device="cpu")


def uniform(model: ContextNetworks) -> None:
    """All digits are equally likely."""
    model.b2[:, 0] = float(np.log(2))


def fixed_to(artifact: Artifact, pictures: Pixels) -> Callable[[ContextNetworks], None]:
    """Each plane and channel has its probabilities in these pictures."""
    analysis = OnnxNetwork(artifact.file("analysis.onnx"), "cpu")
    x = runs.to_tensor(pictures, torch.device("cpu")).contiguous().numpy()
    parts = [analysis.run({"pixels": x[i : i + _BATCH]})[0] for i in range(0, len(x), _BATCH)]
    states: list[Tensor] = ladder(
        torch.from_numpy(np.concatenate(parts)), EmbeddedParams.from_artifact(artifact)
    )
    return lambda model: model.start_from(states)


def quality_of(pictures: Pixels, found: Pixels) -> tuple[float, float]:
    """Mean SSIM and PSNR."""
    return float(metrics.ssim(pictures, found).mean()), float(metrics.psnr(pictures, found).mean())


def table(rows: dict[str, Row], budgets: Sequence[int] = BUDGETS) -> list[list[str]]:
    """A header and a row for each part, SSIM / PSNR."""
    out = [["", *(f"{budget} B" for budget in budgets)]]
    for name, row in rows.items():
        cells = [
            f"{row[b][0]:.3f} / {row[b][1]:.2f}".removeprefix("0") if b in row else "-"
            for b in budgets
        ]
        out.append([name, *cells])
    return out


def _interpolated(points: list[tuple[float, float, float]], budgets: Sequence[int]) -> Row:
    """Means at the budgets within points ``(bytes, SSIM, PSNR)``, linear in log bytes."""
    rates, ssim, psnr = np.array(points).T
    within = [b for b in budgets if rates[0] <= b <= rates[-1]]
    at = np.log(within)
    both = (np.interp(at, np.log(rates), values) for values in (ssim, psnr))
    return {b: (float(s), float(p)) for b, s, p in zip(within, *both, strict=True)}
