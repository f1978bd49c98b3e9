"""The fully-connected residual autoencoder on 8x8 patches (section 3.2).

A patch is a cell, and a layer that is fully connected inside a patch is a convolution of the grid
of cells: 8x8 with stride 8 on the way in, 1x1 afterwards, depth-to-space by 8 on the way out. So
patches are tiled over pictures of any size, all at once::

    r (3, H, W) --> 8x8 / 8 + tanh --> [ 1x1 + tanh ] --> features (H/8, W/8)
    codes --> 1x1 + tanh --> [ 1x1 + tanh ] --> 1x1 (192) --> x8 --> samples

There is one layer in brackets for each further number of filters.
"""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from thumbstream_models.paper.networks.compressor import Compressor
from thumbstream_models.paper.networks.feedforward import feed_forward
from thumbstream_models.paper.networks.layers import STRIDE
from thumbstream_models.paper.system_config import ModelConfig


def patch_layer(units: int) -> nn.Module:
    """Samples of a patch to ``units``, fully connected."""
    return nn.Conv2d(3, units, STRIDE, STRIDE)


def unpatch_layers(units: int) -> tuple[nn.Module, nn.Module]:
    """``units`` to the samples of a patch, fully connected."""
    return nn.Conv2d(units, 3 * STRIDE * STRIDE, 1), nn.PixelShuffle(STRIDE)


def _hidden(units: tuple[int, ...]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(units):
        layers += [nn.Conv2d(inputs, outputs, 1), nn.Tanh()]
    return layers


def _encoder(units: tuple[int, ...]) -> nn.Module:
    return nn.Sequential(patch_layer(units[0]), nn.Tanh(), *_hidden(units))


def _decoder(units: tuple[int, ...]) -> nn.Module:
    return nn.Sequential(nn.Tanh(), *_hidden(units), *unpatch_layers(units[-1]))


def fc_residual(config: ModelConfig) -> Compressor:
    """A new network; the filters are the units of the layers."""
    return feed_forward(config, _encoder, _decoder)
