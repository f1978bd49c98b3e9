"""The convolutional/deconvolutional LSTM compressor (section 3.5).

::

    r (3, H, W) --> conv 8x8 / 4 + ReLU --> ConvLSTM 3x3 / 2 --> features (H/8, W/8)

    codes --> 1x1 --> ConvLSTM --> x2 --> ConvLSTM --> x2
          --> 3x3 + ReLU --> x2 --> 3x3 --> samples

where ``x2`` is depth-to-space: a quarter of the channels at twice the resolution.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from thumbstream.codec.model_folder import StateTensor
from thumbstream_models.paper.networks.compressor import Compressor, Decoder, Encoder
from thumbstream_models.paper.networks.layers import ConvLSTM, State
from thumbstream_models.paper.system_config import ModelConfig


class ConvLSTMEncoder(Encoder):
    """One convolution, one convolutional LSTM. ``filters``: (convolution, LSTM)."""

    def __init__(self, filters: tuple[int, ...]) -> None:
        super().__init__()
        first, last = filters
        self.features = last
        self.conv = nn.Conv2d(3, first, 8, 4, 2)
        self.lstm = ConvLSTM(first, last, stride=2)
        self.states = (StateTensor("h", last, 1), StateTensor("c", last, 1))

    def forward(self, r: Tensor, iteration: int, state: State) -> tuple[Tensor, State]:
        """Features of one iteration."""
        h, c = self.lstm(functional.relu(self.conv(r)), *state)
        return h, [h, c]


class ConvLSTMDecoder(Decoder):
    """Two convolutional LSTMs, two convolutions. ``filters``: (LSTM, LSTM, convolution)."""

    def __init__(self, planes: int, filters: tuple[int, ...], iterations: int) -> None:
        first, second, third = filters
        super().__init__(planes, first, iterations)
        self.lstm1 = ConvLSTM(first, first)
        self.lstm2 = ConvLSTM(first // 4, second)
        self.refine = nn.Conv2d(second // 4, third, 3, 1, 1)
        self.to_rgb = nn.Conv2d(third // 4, 3, 3, 1, 1)
        self.states = tuple(
            StateTensor(f"{name}{scale}", channels, scale)
            for scale, channels in ((1, first), (2, second))
            for name in "hc"
        )

    def synthesize(self, features: Tensor, iteration: int, state: State) -> tuple[Tensor, State]:
        """Samples of one iteration."""
        h1, c1 = self.lstm1(features, *state[:2])
        h2, c2 = self.lstm2(functional.pixel_shuffle(h1, 2), *state[2:])
        features = functional.relu(self.refine(functional.pixel_shuffle(h2, 2)))
        return self.to_rgb(functional.pixel_shuffle(features, 2)), [h1, c1, h2, c2]


def conv_lstm(config: ModelConfig) -> Compressor:
    """A new network."""
    return Compressor(
        config,
        ConvLSTMEncoder(config.encoder_filters),
        ConvLSTMDecoder(config.code_planes, config.decoder_filters, config.iterations),
    )
