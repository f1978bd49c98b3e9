"""The fully-connected LSTM compressor on 8x8 patches (section 3.3).

As in `fc_residual` a patch is a cell and the layers are 1x1 convolutions of the grid::

    r (3, H, W) --> 8x8 / 8 + tanh --> LSTM ... --> features (H/8, W/8)
    codes --> 1x1 + tanh --> LSTM ... --> 1x1 (192) --> x8 --> samples

with one LSTM for each number of units after the first.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from thumbstream.codec.model_folder import StateTensor
from thumbstream_models.paper.networks.compressor import Compressor, Decoder, Encoder
from thumbstream_models.paper.networks.fc_residual import patch_layer, unpatch_layers
from thumbstream_models.paper.networks.layers import ConvLSTM, State
from thumbstream_models.paper.system_config import ModelConfig


class _Stack(nn.Module):
    """A stack of LSTMs inside each cell."""

    def __init__(self, units: tuple[int, ...]) -> None:
        super().__init__()
        self.lstms = nn.ModuleList(
            ConvLSTM(inputs, outputs, kernel=1) for inputs, outputs in pairwise(units)
        )
        self.states = tuple(
            StateTensor(f"{name}{i}", outputs, 1)
            for i, outputs in enumerate(units[1:], start=1)
            for name in "hc"
        )

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        new: State = []
        for i, lstm in enumerate(self.lstms):
            x, c = lstm(x, *state[2 * i : 2 * i + 2])
            new += [x, c]
        return x, new


class PatchLSTMEncoder(Encoder):
    """``units``: (fully-connected layer, LSTM, ...)."""

    def __init__(self, units: tuple[int, ...]) -> None:
        super().__init__()
        self.features = units[-1]
        self.conv = patch_layer(units[0])
        self.stack = _Stack(units)
        self.states = self.stack.states

    def forward(self, r: Tensor, iteration: int, state: State) -> tuple[Tensor, State]:
        """Features of one iteration."""
        features, state = self.stack(torch.tanh(self.conv(r)), state)
        return features, state


class PatchLSTMDecoder(Decoder):
    """``units``: (fully-connected layer, LSTM, ...)."""

    def __init__(self, planes: int, units: tuple[int, ...], iterations: int) -> None:
        super().__init__(planes, units[0], iterations)
        self.stack = _Stack(units)
        self.to_samples = nn.Sequential(*unpatch_layers(units[-1]))
        self.states = self.stack.states

    def synthesize(self, features: Tensor, iteration: int, state: State) -> tuple[Tensor, State]:
        """Samples of one iteration."""
        features, state = self.stack(torch.tanh(features), state)
        return self.to_samples(features), state


def fc_lstm(config: ModelConfig) -> Compressor:
    """A new network; the filters are the units of the layers."""
    return Compressor(
        config,
        PatchLSTMEncoder(config.encoder_filters),
        PatchLSTMDecoder(config.code_planes, config.decoder_filters, config.iterations),
    )
