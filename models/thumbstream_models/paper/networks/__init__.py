"""Networks of arXiv 1511.06085: one framework (`compressor`), one module per system."""

from __future__ import annotations

from collections.abc import Callable

from thumbstream_models.paper.networks.compressor import Compressor, Decoder, Encoder
from thumbstream_models.paper.networks.conv_lstm import conv_lstm
from thumbstream_models.paper.networks.conv_residual import conv_residual
from thumbstream_models.paper.networks.fc_lstm import fc_lstm
from thumbstream_models.paper.networks.fc_residual import fc_residual
from thumbstream_models.paper.networks.feedforward import FeedForwardDecoder, FeedForwardEncoder
from thumbstream_models.paper.networks.layers import (
    STRIDE,
    Binarizer,
    ConvLSTM,
    ResidualGain,
    State,
)
from thumbstream_models.paper.system_config import ModelConfig
from thumbstream_models.training.config import ConfigError

__all__ = [
    "FAMILIES",
    "PATCH_FAMILIES",
    "STRIDE",
    "Binarizer",
    "Compressor",
    "ConvLSTM",
    "Decoder",
    "Encoder",
    "FeedForwardDecoder",
    "FeedForwardEncoder",
    "ResidualGain",
    "State",
    "build",
]

FAMILIES: dict[str, Callable[[ModelConfig], Compressor]] = {
    "fc_residual": fc_residual,
    "fc_lstm": fc_lstm,
    "conv_autoencoder": conv_residual,
    "conv_residual": conv_residual,
    "conv_lstm": conv_lstm,
}
"""Builder of each family, by its name in configurations and manifests."""

PATCH_FAMILIES = {"fc_residual", "fc_lstm"}
"""Families whose cells are independent of each other."""


def build(config: ModelConfig) -> Compressor:
    """A new network for ``config``; raises `ConfigError` for invalid combinations."""
    if config.family not in FAMILIES:
        raise ConfigError(f"unknown family {config.family!r}; known: {', '.join(FAMILIES)}")
    if config.weights == "per_stage" and config.family.endswith("lstm"):
        raise ConfigError(f'{config.family} always has shared weights: use weights = "shared"')
    return FAMILIES[config.family](config)
