"""The two networks of an iterated codec, whatever their weights: analysis and synthesis.

With shared weights one network runs in every iteration and its code channels are slots, ``planes``
of them for each iteration, of which an iteration uses its own. With weights of their own every
iteration has a network with ``planes`` code channels. Both may carry state from an iteration to the
next. See docs/artifact.md.
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
"""What a network carries from an iteration to the next; empty where it carries nothing."""


class _Transform:
    """A network for every iteration, opened and held against the manifest."""

    def __init__(
        self,
        artifact: Artifact,
        params: IterativeParams,
        name: str,
        channels: int,
        device: str,
    ) -> None:
        """``channels`` are those of the value that goes in beside the state."""
        self._states = params.states[name]
        named = [(state.name, state.channels) for state in self._states]
        stages = params.iterations if params.weights == "per_stage" else 1
        self._stages = [
            OnnxNetwork(artifact.file(params.file_of(name, t)), device) for t in range(stages)
        ]
        for network in self._stages:
            value, *carried = network.channels.items()
            if value[1] != channels or carried != named:
                raise ArtifactError(
                    f"{artifact.model_id}: the {name} network and the manifest disagree"
                )
            if len(network.outputs) != len(network.inputs):
                raise ArtifactError(
                    f"{artifact.model_id}: the {name} network does not hand on its state"
                )
        self.providers = self._stages[0].providers

    def start(self, grid: Grid) -> State:
        """The state before the first iteration."""
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
    """Iterations that share the code channels of one network."""
    return params.iterations if params.weights == "shared" else 1


class Analysis(_Transform):
    """Encoder and binarizer: a residual to codes."""

    def __init__(self, artifact: Artifact, params: IterativeParams, device: str) -> None:
        """Raises `ArtifactError` or `DeviceError`."""
        super().__init__(artifact, params, "analysis", COLOURS, device)
        self._stride = artifact.stride
        self._planes, self._slots = params.planes, _slots(params)

    def __call__(self, iteration: int, residual: Float, state: State) -> tuple[Float, State]:
        """``(1, 3, H, W)`` to ``(planes, rows, columns)`` of -1 and +1."""
        activation, state = self._run(iteration, residual, state)
        begin = iteration % self._slots * self._planes
        own = activation[0, begin : begin + self._planes]
        return np.where(own >= 0, np.float32(1), np.float32(-1)), state


class Synthesis(_Transform):
    """Decoder: codes to a picture, or to what is added to one."""

    def __init__(self, artifact: Artifact, params: IterativeParams, device: str) -> None:
        """Raises `ArtifactError` or `DeviceError`."""
        self._planes, self._slots = params.planes, _slots(params)
        super().__init__(artifact, params, "synthesis", self._planes * self._slots, device)

    def __call__(self, iteration: int, codes: Float, state: State) -> tuple[Float, State]:
        """``(planes, rows, columns)`` in [-1, 1] to ``(1, 3, H, W)``."""
        slots = np.zeros((1, self._planes * self._slots, *codes.shape[1:]), np.float32)
        begin = iteration % self._slots * self._planes
        slots[0, begin : begin + self._planes] = codes
        return self._run(iteration, slots, state)
