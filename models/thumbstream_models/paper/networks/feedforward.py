"""Encoders and decoders without state: layers shared by all iterations, or one set for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from torch import Tensor, nn

from thumbstream_models.paper.networks.compressor import Compressor, Decoder, Encoder
from thumbstream_models.paper.networks.layers import State
from thumbstream_models.paper.system_config import ModelConfig

Layers: TypeAlias = Callable[[tuple[int, ...]], nn.Module]
"""Filters of the configuration to new layers."""


def feed_forward(config: ModelConfig, encoder: Layers, decoder: Layers) -> Compressor:
    """A new network of these layers."""
    into, out = config.encoder_filters, config.decoder_filters
    return Compressor(
        config,
        FeedForwardEncoder(config, into[-1], lambda: encoder(into)),
        FeedForwardDecoder(config, out[0], lambda: decoder(out)),
    )


def _trunks(config: ModelConfig, make: Callable[[], nn.Module]) -> nn.ModuleList:
    """One trunk for all iterations, or one for each (section 3.2: shared or distinct weights)."""
    count = config.iterations if config.weights == "per_stage" else 1
    return nn.ModuleList(make() for _ in range(count))


class FeedForwardEncoder(Encoder):
    """``make()`` builds the layers from ``(B, 3, H, W)`` to ``(B, features, H/8, W/8)``."""

    def __init__(self, config: ModelConfig, features: int, make: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.features = features
        self.trunks = _trunks(config, make)

    def forward(self, r: Tensor, iteration: int, state: State) -> tuple[Tensor, State]:
        """Features of one iteration; the state is empty."""
        return self.trunks[iteration % len(self.trunks)](r), state

    def keep_iterations(self, iterations: int) -> None:
        """Remove the trunks of later iterations."""
        self.trunks = self.trunks[:iterations]


class FeedForwardDecoder(Decoder):
    """``make()`` builds the layers from ``(B, first, h, w)`` to ``(B, 3, 8h, 8w)``."""

    def __init__(self, config: ModelConfig, first: int, make: Callable[[], nn.Module]) -> None:
        super().__init__(config.code_planes, first, config.iterations)
        self.trunks = _trunks(config, make)

    def synthesize(self, features: Tensor, iteration: int, state: State) -> tuple[Tensor, State]:
        """Samples of one iteration; the state is empty."""
        return self.trunks[iteration % len(self.trunks)](features), state

    def keep_iterations(self, iterations: int) -> None:
        """Remove the trunks and code channels of later iterations."""
        super().keep_iterations(iterations)
        self.trunks = self.trunks[:iterations]
