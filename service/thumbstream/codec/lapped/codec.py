"""Codec of the lapped family: the linear transform and the networks that add to it.

::

    pixels --rotate colours, lapping--> samples

    samples --KLT------------+
            +--analysis------+--> latents --> states --> bytes       (encoder)

    bytes --> states --> values --gains--> linear picture -----------+
                                +--synthesis--> times the gate ------+--> x_hat    (decoder)

    x_hat --rotate colours back--> pixels

The gate is the plane's step, at most 1: where latents are known finely, the linear transform loses
nothing. Normative text: docs/bitstream.md, "Decoding of format 8".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from thumbstream.codec.effort import Effort
from thumbstream.codec.lapped.linear import COLOURS, Latents
from thumbstream.codec.lapped.linear_codec import Layers, LinearCodec
from thumbstream.codec.lapped.params import CLASSES, SAMPLES, SIDE, UNIT_PLANE
from thumbstream.codec.lapped.planes import Layout
from thumbstream.codec.lapped.probabilities import Integers
from thumbstream.codec.lapped.symbols import DecodedLatents
from thumbstream.codec.model_folder import Artifact
from thumbstream.codec.runtime import OnnxNetwork
from thumbstream.codec.tensors import Float
from thumbstream.errors import ArtifactError

FLAT_BITS, DETAILED_BITS = 10, 30
"""Sums of log2(1 + 2 |latent|) of a cell of the linear transform: of flat pictures, to which the
analysis adds nothing, and of those from which on it adds all it has; most photographs have 40."""
COARSEST_LEVEL = 20
"""Networks are given levels of at least this plus the latent's class."""
REFINEMENT = "refinement.onnx"
"""Models without this file are encoded without refinement."""
_RATES = {Effort.DEFAULT: (0.08,), Effort.BEST: 4 * (0.08,) + 4 * (0.05,) + 4 * (0.03,)}
"""Learning rates of the refinements, one after the other. Of several, the last one only measures
the result of the one before it."""
MAX_REFINED_CELLS = 768
"""Limit of the cells of all refinements together, a third of a second of processor time: large
pictures have fewer refinements, the largest none."""
_NOMINAL = 3 / 8
"""Mean of the latents' steps after a plane, as the logarithm of its ratio to the plane's step."""


class LappedCodec(LinearCodec):
    """Codec of the lapped family. Thread-safe; the refinement is opened when it is first needed."""

    def __init__(self, artifact: Artifact, *, device: str = "auto") -> None:
        """Open the networks and tables of ``artifact``; ``device``: ``auto``, ``cpu`` or ``cuda``.

        Raises `ArtifactError` if networks, tables and manifest contradict each other, and
        `DeviceError` if ``device`` is not available.
        """
        super().__init__(artifact)
        self._analysis = OnnxNetwork(artifact.file("analysis.onnx"), device)
        self._synthesis = OnnxNetwork(artifact.file("synthesis.onnx"), device)
        self._refinement = artifact.files.get(REFINEMENT)
        self._check_networks()
        self.providers = self._synthesis.providers
        self._gain = self._tables.gain[:, None, None]
        self._gain_slope = self._tables.gain_slope[:, None, None]

    def _check_networks(self) -> None:
        """Raise `ArtifactError` unless inputs and outputs of both networks fit the manifest."""
        channels = self._params.channels
        inputs = self._analysis.channels, self._synthesis.channels
        if inputs == ({"samples": SAMPLES}, {"latents": channels, "widths": channels}):
            samples = np.zeros((1, SAMPLES, 1, 1), np.float32)
            cell = np.zeros((1, channels, 1, 1), np.float32)
            added = self._analysis.run({"samples": samples})[0]
            x_hat = self._synthesis.run({"latents": cell, "widths": cell})[0]
            if (added.shape, x_hat.shape) == (cell.shape, (1, COLOURS, SIDE, SIDE)):
                return
        raise ArtifactError(f"{self.model_id}: the networks do not match the manifest")

    def _analyze(self, layers: Layers, effort: Effort) -> Latents:
        if effort is Effort.FAST:
            return super()._analyze(layers, effort)
        x, rotations, samples = (array.astype(np.float32) for array in layers)
        latents = self._scaled(self._linear.latents(samples))
        added = self._scaled(self._analysis.run({"samples": samples})[0])
        latents += _share(latents) * added
        if self._refinement is None:
            return latents
        cells = len(x) * latents.shape[2] * latents.shape[3]
        rates = _RATES[effort][: MAX_REFINED_CELLS // cells]
        pictures = {"pixels": x, "rotation": rotations}
        return self._refined(pictures, latents, rates if len(rates) > 2 else rates[:1])

    def _refined(
        self, pictures: Mapping[str, Float], analysed: Float, rates: Sequence[float]
    ) -> Float:
        """Refine latents of ``pictures``; of several results return the one of least cost.

        ``pictures``: ``pixels`` ``(n, 3, 8 h, 8 w)`` and ``rotation`` ``(n, 3, 3)`` of each.
        """
        refined = found = analysed
        least = np.full(len(analysed), np.inf, np.float32)
        for rate in rates:
            steps = {"latents": refined, "rate": np.full((1, 1, 1, 1), rate, np.float32)}
            after, cost = self._refine.run({**pictures, "analysed": analysed, **steps})
            found = np.where((cost < least)[:, None, None, None], refined, found)
            least = np.minimum(cost, least)
            refined = after
        return refined if len(rates) == 1 else found

    @cached_property
    def _refine(self) -> OnnxNetwork:
        """The graph of the refinement, opened by the first encoding: decoders do not need it."""
        assert self._refinement is not None
        return OnnxNetwork(self._refinement, "cpu")

    def _draw(self, values: Float, batch: Sequence[DecodedLatents], layout: Layout) -> Float:
        layers = len(batch[0].q)
        widths = self._widths(np.concatenate([one.levels for one in batch]), layout)
        gates = np.array([_gate(one.planes) for one in batch], np.float32).repeat(layers)
        gains = 1 + np.exp(-(self._gain + self._gain_slope * widths))
        x_hat = self._linear.pixels(values * np.reciprocal(gains))
        added = self._synthesis.run({"latents": values, "widths": widths})[0]
        added *= gates[:, None, None, None]
        x_hat += added
        return x_hat

    def _widths(self, levels: Integers, layout: Layout) -> Float:
        """How finely latents are known to ``levels`` ``(n, C, cells)``: ``(n, C, h, w)``."""
        first, grid = self._params.first, layout.grid
        levels = np.maximum(levels, COARSEST_LEVEL + layout.classes)
        widths = (UNIT_PLANE - levels) * (0.5 * np.log(2) / CLASSES)
        widths -= 0.5 * np.log(self._tables.scales[:, None])
        # Frequencies have no cell.
        widths[:, :first] = widths[:, :first].mean(2, keepdims=True)
        shape = *widths.shape[:2], grid.rows, grid.columns
        result: Float = widths.astype(np.float32).reshape(shape)
        return result


def _share(latents: Float) -> Float:
    """Return how much of what the analysis adds flat pictures take: ``(layers, 1, 1, 1)``.

    Photographs take all of it. The network expects them, and makes flat pictures cost more.
    """
    bits = np.log2(1 + 2 * np.abs(latents)).sum(1).mean((1, 2))
    share: Float = np.clip((bits - FLAT_BITS) / (DETAILED_BITS - FLAT_BITS), 0, 1)
    return share[:, None, None, None]


def _gate(planes: int) -> float:
    """Return the factor of the network's output after ``planes`` complete planes."""
    step: float = 2 ** ((UNIT_PLANE - (planes - 1)) / CLASSES + _NOMINAL)
    return min(1.0, step)
