"""The one framework of all systems: encoder E, binarizer B, decoder D, chained on the residual.

Iteration ``t`` codes the residual in a few bits and improves x_hat::

      r[t] --> x gain[t] --> E --> B --> codes[t] --> D --> d[t]
      r[0] = x,  r[t + 1] = x - x_hat[t]

      one_shot   x_hat[t] = d[t]                           every iteration reconstructs the picture
      additive   x_hat[t] = x_hat[t - 1] + d[t] / gain[t]  every iteration reconstructs the residual

E and D may carry state from one iteration to the next, and may have separate weights for each. A
system is an `Encoder` and a `Decoder`: a module in this folder, an entry in `networks.FAMILIES` and
a TOML file. Shapes: ``x`` is ``(B, 3, H, W)`` float32 in [-1, 1] with H and
W multiples of `STRIDE`; codes are ``(B, planes, H/8, W/8)``, each -1 or +1 (0 or a value between
where a code is not known).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from thumbstream_models.paper.networks.layers import (
    STRIDE,
    Binarizer,
    ConvLSTM,
    ResidualGain,
    State,
    Stateful,
    slot,
)
from thumbstream_models.paper.system_config import ModelConfig


class Encoder(Stateful):
    """Residual to features, one feature vector per cell."""

    features: int
    """Channels of the features."""

    @abstractmethod
    def forward(self, r: Tensor, iteration: int, state: State) -> tuple[Tensor, State]:
        """``(B, 3, H, W)`` to ``(B, features, H/8, W/8)``, and the next state."""

    def keep_iterations(self, iterations: int) -> None:
        """Remove the weights that only later iterations use."""


class Decoder(Stateful):
    """Codes to samples: a 1x1 convolution with channels for each iteration, then `synthesize`."""

    def __init__(self, planes: int, first: int, iterations: int) -> None:
        super().__init__()
        self.planes = planes
        self.conv = nn.Conv2d(planes * iterations, first, 1)

    @abstractmethod
    def synthesize(self, features: Tensor, iteration: int, state: State) -> tuple[Tensor, State]:
        """``(B, first, h, w)`` to ``(B, 3, 8h, 8w)``, and the next state."""

    def forward(self, codes: Tensor, iteration: int, state: State) -> tuple[Tensor, State]:
        """``(B, planes, h, w)`` to ``(B, 3, 8h, 8w)``, and the next state."""
        own = self.conv.weight[:, slot(iteration, self.planes)]
        return self.synthesize(functional.conv2d(codes, own, self.conv.bias), iteration, state)

    def keep_iterations(self, iterations: int) -> None:
        """Remove the weights that only later iterations use."""
        channels = iterations * self.planes
        self.conv.weight = nn.Parameter(self.conv.weight[:, :channels].clone())
        self.conv.in_channels = channels


class Compressor(nn.Module):
    """Encoder, binarizer and decoder, iterated on the residual."""

    def __init__(self, config: ModelConfig, encoder: Encoder, decoder: Decoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.binarizer = Binarizer(encoder.features, config.code_planes, config.iterations)
        self.decoder = decoder
        self.residual_gain = ResidualGain(config.iterations)
        self.additive = config.reconstruction == "additive"

    @property
    def iterations(self) -> int:
        """Number of iterations that there are weights for."""
        return len(self.residual_gain.gain)

    def hidden_matrices(self) -> Iterator[tuple[nn.Parameter, int]]:
        """Weights between hidden layers, each with the number of matrices along its rows.

        Not those next to the pixels, nor those to and from the codes, of which every iteration has
        a few rows or columns of its own.
        """
        gates = {
            layer
            for module in self.modules()
            if isinstance(module, ConvLSTM)
            for layer in (module.input, module.hidden)
        }
        outer = {self.binarizer.conv, self.decoder.conv}
        for layer in self.modules():
            if not isinstance(layer, nn.Conv2d) or layer in outer:
                continue
            if layer.in_channels > 3 and layer.out_channels > 3:
                assert isinstance(layer.weight, nn.Parameter)
                yield layer.weight, ConvLSTM.GATES if layer in gates else 1

    @torch.no_grad()
    def keep_iterations(self, iterations: int) -> None:
        """Remove the weights that only later iterations use."""
        channels = iterations * self.binarizer.planes
        into = self.binarizer.conv
        assert into.bias is not None
        into.weight = nn.Parameter(into.weight[:channels].clone())
        into.bias = nn.Parameter(into.bias[:channels].clone())
        into.out_channels = channels
        self.encoder.keep_iterations(iterations)
        self.decoder.keep_iterations(iterations)
        self.residual_gain.gain = nn.Parameter(self.residual_gain.gain[:iterations].clone())

    def reconstruct(self, x_hat: Tensor, output: Tensor, iteration: int) -> Tensor:
        """The new reconstruction from the last one and the decoder's output."""
        if not self.additive:
            return output
        return x_hat + output / self.residual_gain.gain[iteration]

    def forward(
        self, x: Tensor, iterations: int, mask: Tensor | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Run ``iterations`` iterations on ``x``.

        ``mask`` ``(B, planes, rows, columns)`` in {0, 1} sets codes of the last iteration to zero,
        as in a truncated stream. Returns all codes and all reconstructions.
        """
        batch, _, height, width = x.shape
        rows, columns = height // STRIDE, width // STRIDE
        encoder_state = self.encoder.zero_state(batch, rows, columns, x)
        decoder_state = self.decoder.zero_state(batch, rows, columns, x)
        r = x  # (B, 3, H, W): the first residual is the picture itself
        x_hat = torch.zeros_like(x)
        all_codes, all_x_hat = [], []
        for t in range(iterations):
            features, encoder_state = self.encoder(self.residual_gain(r, t), t, encoder_state)
            codes = self.binarizer(features, t)
            all_codes.append(codes)
            if mask is not None and t == iterations - 1:
                codes = codes * mask
            output, decoder_state = self.decoder(codes, t, decoder_state)
            x_hat = self.reconstruct(x_hat, output.float(), t)
            r = x - x_hat
            all_x_hat.append(x_hat)
        return all_codes, all_x_hat
