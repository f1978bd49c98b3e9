"""Analysis and synthesis transform of an iterative codec, with shared or separate weights.

With shared weights, one network runs in every iteration. The network's code channels are divided
into slots of ``planes`` channels, and each iteration uses a slot of its own. With separate weights,
every iteration has a network with ``planes`` code channels. With both kinds of weights, networks
may be recurrent and pass state from one iteration to the next. See docs/model-folder.md.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from thumbstream.codec.iterative.params import IterativeParams
from thumbstream.codec.model_folder import Artifact
from thumbstream.codec.runtime import OnnxNetwork
from thumbstream.codec.tensors import Float, Grid
from thumbstream.errors import ArtifactError

COLOURS = 3

State: TypeAlias = tuple[Float, ...]
"""Tensors that a network passes to the next iteration; empty if the network is not recurrent."""


class _Transform:
    """The networks of one transform for all iterations, opened and checked against the manifest."""

    def __init__(
        self, artifact: Artifact, params: IterativeParams, name: str, channels: int, device: str
    ) -> None:
        """Open the networks of the transform ``name``; raises `ArtifactError` or `DeviceError`.

        ``channels``: expected channels of the first input, which is not a state tensor.
        """
        self._states = params.states[name]
        expected = [(state.name, state.channels) for state in self._states]
        stages = params.iterations if params.weights == "per_stage" else 1
        self._stages = [
            OnnxNetwork(artifact.file(params.file_of(name, t)), device) for t in range(stages)
        ]
        for network in self._stages:
            value, *states = network.channels.items()
            if value[1] != channels or states != expected:
                raise ArtifactError(
                    f"{artifact.model_id}: the {name} network does not match the manifest"
                )
            if len(network.outputs) != len(network.inputs):
                raise ArtifactError(
                    f"{artifact.model_id}: the {name} network needs one output per input"
                )
        self.providers = self._stages[0].providers

    def initial_state(self, grid: Grid) -> State:
        """Return the state before the first iteration: zeros."""
        return tuple(
            np.zeros((1, s.channels, s.scale * grid.rows, s.scale * grid.columns), np.float32)
            for s in self._states
        )

    def _run(self, iteration: int, value: Float, state: State) -> tuple[Float, State]:
        network = self._stages[iteration % len(self._stages)]
        first, *names = network.inputs
        output, *following = network.run({first: value, **dict(zip(names, state, strict=True))})
        return output, tuple(following)


def _slots(params: IterativeParams) -> int:
    """Return the number of slots in a network's code channels, one per iteration that uses it."""
    return params.iterations if params.weights == "shared" else 1


class Analysis(_Transform):
    """Analysis transform: converts a residual to binary codes (encoder and binarizer)."""

    def __init__(self, artifact: Artifact, params: IterativeParams, device: str) -> None:
        """Open the analysis networks of ``artifact``; raises `ArtifactError` or `DeviceError`."""
        super().__init__(artifact, params, "analysis", COLOURS, device)
        self._planes, self._slots = params.planes, _slots(params)

    def __call__(self, iteration: int, residual: Float, state: State) -> tuple[Float, State]:
        """Convert a residual ``(1, 3, H, W)`` to codes -1 and +1 ``(planes, rows, columns)``.

        Takes the state before and also returns the state after this iteration.
        """
        activation, state = self._run(iteration, residual, state)
        begin = iteration % self._slots * self._planes
        slot = activation[0, begin : begin + self._planes]
        return np.where(slot >= 0, np.float32(1), np.float32(-1)), state


class Synthesis(_Transform):
    """Synthesis transform: converts codes to a picture, or to a correction to add to a picture."""

    def __init__(self, artifact: Artifact, params: IterativeParams, device: str) -> None:
        """Open the synthesis networks of ``artifact``; raises `ArtifactError` or `DeviceError`."""
        self._planes, self._slots = params.planes, _slots(params)
        super().__init__(artifact, params, "synthesis", self._planes * self._slots, device)

    def __call__(self, iteration: int, codes: Float, state: State) -> tuple[Float, State]:
        """Convert codes ``(planes, rows, columns)`` in [-1, 1] to samples ``(1, 3, H, W)``.

        Takes the state before and also returns the state after this iteration.
        """
        slots = np.zeros((1, self._planes * self._slots, *codes.shape[1:]), np.float32)
        begin = iteration % self._slots * self._planes
        slots[0, begin : begin + self._planes] = codes
        return self._run(iteration, slots, state)
