"""The convolutional/deconvolutional residual autoencoder (section 3.4).

With a single iteration it is the purpose-trained autoencoder of one fixed rate that the paper
compares its systems with::

    r (3, H, W) --> conv 8x8 / 4 + ReLU --> 3x3 / 2 + ReLU --> [ 3x3 + ReLU ] --> (H/8, W/8)

    codes --> 1x1 --> ReLU --> 3x3 + ReLU --> x2 --> 3x3 + ReLU --> x2
          --> 3x3 + ReLU --> x2 --> 3x3 --> samples

where ``x2`` is depth-to-space: a quarter of the channels at twice the resolution. There is one
layer in brackets for each further number of filters.
"""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from thumbstream_models.paper.networks.compressor import Compressor
from thumbstream_models.paper.networks.feedforward import feed_forward
from thumbstream_models.paper.system_config import ModelConfig


def _encoder(filters: tuple[int, ...]) -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, filters[0], 8, 4, 2), nn.ReLU()]
    for i, (inputs, outputs) in enumerate(pairwise(filters)):
        layers += [nn.Conv2d(inputs, outputs, 3, 2 if i == 0 else 1, 1), nn.ReLU()]
    return nn.Sequential(*layers)


def _decoder(filters: tuple[int, ...]) -> nn.Module:
    first, *rest = filters
    layers: list[nn.Module] = [nn.ReLU()]
    inputs = first
    for outputs in rest:
        layers += [nn.Conv2d(inputs, outputs, 3, 1, 1), nn.ReLU(), nn.PixelShuffle(2)]
        inputs = outputs // 4
    return nn.Sequential(*layers, nn.Conv2d(inputs, 3, 3, 1, 1))


def conv_residual(config: ModelConfig) -> Compressor:
    """A new network. Encoder filters: two or more; decoder filters: four."""
    return feed_forward(config, _encoder, _decoder)
