"""Networks of arXiv 1511.06085, chained as encoder E, binarizer B, decoder D.

An iteration ``t`` looks at what is still wrong, sends a few bits about it, and draws the whole
picture again::

      r[t] --> x gain[t] --> E --> B --> codes[t] --> D --> x_hat[t]
      r[0] = x,  r[t + 1] = x - x_hat[t]

E and D keep a state from iteration to iteration. Shapes: ``x`` is ``(B, 3, H, W)`` float32 in
[-1, 1] with H and W multiples of `STRIDE`; codes are ``(B, planes, H/8, W/8)``, each -1 or +1 (0 or
a value between where a code is not known).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from thumbstream_models.config import ConfigError, ModelConfig

STRIDE = 8
"""Pixels per cell, in both directions."""

CellState: TypeAlias = tuple[Tensor, Tensor]
"""``(h, c)`` of one convolutional LSTM."""


class Binarizer(nn.Module):
    """Features to codes in {-1, +1}: 1x1 convolution, tanh, stochastic rounding (section 3.1).

    In training ``P(+1) = (1 + x) / 2`` with a straight-through gradient; at inference, and in
    training once `deterministic` is set, the sign. Every iteration has its own ``planes`` channels
    of the convolution, so that it can look at the features from its own side (docs/adr/0002).
    """

    def __init__(self, features: int, planes: int, iterations: int) -> None:
        super().__init__()
        self.planes = planes
        self.conv = nn.Conv2d(features, planes * iterations, 1)
        self.deterministic = False

    def activation(self, features: Tensor, iteration: int) -> Tensor:
        """``(B, features, h, w)`` to ``(B, planes, h, w)`` in (-1, 1)."""
        own = _slot(iteration, self.planes)
        assert self.conv.bias is not None
        return torch.tanh(functional.conv2d(features, self.conv.weight[own], self.conv.bias[own]))

    def forward(self, features: Tensor, iteration: int) -> Tensor:
        """``(B, features, h, w)`` to codes ``(B, planes, h, w)``."""
        soft = self.activation(features, iteration)
        if self.training and not self.deterministic:
            hard = torch.where(torch.rand_like(soft) < (1 + soft) / 2, 1.0, -1.0)
        else:
            hard = torch.where(soft >= 0, 1.0, -1.0)
        hard = hard.to(soft.dtype)
        # Not soft + (hard - soft): that sum rounds to 0.996 and the like in bfloat16.
        return hard + (soft - soft.detach()) if self.training else hard


def _slot(iteration: int, planes: int) -> slice:
    """Channels that belong to one iteration, of a convolution that holds those of all."""
    return slice(iteration * planes, (iteration + 1) * planes)


class ConvLSTM(nn.Module):
    """Convolutional LSTM whose stride is on the input convolution only (section 3.5).

    ::

    x --> 3x3 / stride --+--> i, f, o, g     c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    h --> 1x1 -----------+                   h = sigmoid(o) * tanh(c)
    """

    def __init__(self, inputs: int, filters: int, stride: int = 1) -> None:
        super().__init__()
        self.filters = filters
        self.stride = stride
        self.input = nn.Conv2d(inputs, 4 * filters, 3, stride, 1)
        self.hidden = nn.Conv2d(filters, 4 * filters, 1, bias=False)
        with torch.no_grad():  # an open forget gate: the state survives early training
            assert self.input.bias is not None
            self.input.bias[filters : 2 * filters] = 1.0

    def forward(self, x: Tensor, state: CellState) -> tuple[Tensor, CellState]:
        """``(B, inputs, H, W)`` and the state to ``h`` ``(B, filters, H/stride, W/stride)``."""
        h, c = state
        i, f, o, g = (self.input(x) + self.hidden(h)).chunk(4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, (h, c)

    def zero_state(self, batch: int, height: int, width: int, like: Tensor) -> CellState:
        """The state before the first iteration, on the device of ``like``."""
        shape = (batch, self.filters, height, width)
        return like.new_zeros(shape), like.new_zeros(shape)


class Encoder(nn.Module):
    """Residual to features.

    ::

    r (3, H, W) --> conv 8x8 / 4 + ReLU --> ConvLSTM 3x3 / 2 --> features (f1, H/8, W/8)
    """

    def __init__(self, filters: tuple[int, ...]) -> None:
        super().__init__()
        first, last = filters
        self.conv = nn.Conv2d(3, first, 8, 4, 2)
        self.lstm = ConvLSTM(first, last, stride=2)

    def forward(self, r: Tensor, state: list[CellState]) -> tuple[Tensor, list[CellState]]:
        """``(B, 3, H, W)`` to ``(B, f1, H/8, W/8)``, and the next state."""
        features, new = self.lstm(functional.relu(self.conv(r)), state[0])
        return features, [new]

    def zero_state(self, batch: int, rows: int, columns: int, like: Tensor) -> list[CellState]:
        """The state before the first iteration, for a grid of ``rows`` x ``columns`` cells."""
        return [self.lstm.zero_state(batch, rows, columns, like)]


class Decoder(nn.Module):
    """Codes to the whole picture.

    ::

        codes --> 1x1 --> ConvLSTM --> x2 --> ConvLSTM --> x2
              --> 3x3 + ReLU --> x2 --> 3x3 --> x_hat

    where ``x2`` is depth-to-space: a quarter of the channels at twice the resolution. The first
    convolution has its own input channels for the codes of every iteration.
    """

    def __init__(self, planes: int, filters: tuple[int, ...], iterations: int) -> None:
        super().__init__()
        first, second, third = filters
        self.planes = planes
        self.conv = nn.Conv2d(planes * iterations, first, 1)
        self.lstm1 = ConvLSTM(first, first)
        self.lstm2 = ConvLSTM(first // 4, second)
        self.refine = nn.Conv2d(second // 4, third, 3, 1, 1)
        self.to_rgb = nn.Conv2d(third // 4, 3, 3, 1, 1)

    def forward(
        self, codes: Tensor, iteration: int, state: list[CellState]
    ) -> tuple[Tensor, list[CellState]]:
        """``(B, planes, h, w)`` to ``(B, 3, 8h, 8w)``, and the next state."""
        own = self.conv.weight[:, _slot(iteration, self.planes)]
        return self.draw(functional.conv2d(codes, own, self.conv.bias), state)

    def draw(self, features: Tensor, state: list[CellState]) -> tuple[Tensor, list[CellState]]:
        """All behind the first convolution, which is alike for every iteration."""
        features, new1 = self.lstm1(features, state[0])
        features, new2 = self.lstm2(functional.pixel_shuffle(features, 2), state[1])
        features = functional.relu(self.refine(functional.pixel_shuffle(features, 2)))
        x_hat = self.to_rgb(functional.pixel_shuffle(features, 2))
        return x_hat, [new1, new2]

    def zero_state(self, batch: int, rows: int, columns: int, like: Tensor) -> list[CellState]:
        """The state before the first iteration, for a grid of ``rows`` x ``columns`` cells."""
        return [
            self.lstm1.zero_state(batch, rows, columns, like),
            self.lstm2.zero_state(batch, 2 * rows, 2 * columns, like),
        ]


class ResidualGain(nn.Module):
    """One learned factor per iteration on the residual before it enters the encoder.

    Residuals shrink from iteration to iteration. Without a gain the late activations of the
    binarizer stay near zero, where stochastic codes are mostly noise and carry nothing
    (docs/adr/0002).
    """

    def __init__(self, iterations: int) -> None:
        super().__init__()
        start = [1.0] + [2.0 + 0.25 * t for t in range(1, iterations)]
        self.gain = nn.Parameter(torch.tensor(start))

    def forward(self, r: Tensor, iteration: int) -> Tensor:
        """The residual as the encoder gets it."""
        return r * self.gain[iteration]


class Compressor(nn.Module):
    """Encoder, binarizer and decoder, iterated on the residual (one-shot reconstruction)."""

    def __init__(
        self, encoder: Encoder, binarizer: Binarizer, decoder: Decoder, iterations: int
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.binarizer = binarizer
        self.decoder = decoder
        self.residual_gain = ResidualGain(iterations)

    @torch.no_grad()
    def keep_iterations(self, iterations: int) -> None:
        """Forget what belongs to later iterations alone, as a published model does."""
        channels = iterations * self.binarizer.planes
        into, out = self.binarizer.conv, self.decoder.conv
        assert into.bias is not None
        into.weight = nn.Parameter(into.weight[:channels].clone())
        into.bias = nn.Parameter(into.bias[:channels].clone())
        out.weight = nn.Parameter(out.weight[:, :channels].clone())
        into.out_channels = out.in_channels = channels
        self.residual_gain.gain = nn.Parameter(self.residual_gain.gain[:iterations].clone())

    def forward(
        self, x: Tensor, iterations: int, mask: Tensor | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Run ``iterations`` iterations on ``x``.

        ``mask`` ``(B, planes, rows, columns)`` in {0, 1} hides codes of the last iteration from the
        decoder, as a cut stream does. Returns all codes and all reconstructions.
        """
        batch, _, height, width = x.shape
        rows, columns = height // STRIDE, width // STRIDE
        encoder_state = self.encoder.zero_state(batch, rows, columns, x)
        decoder_state = self.decoder.zero_state(batch, rows, columns, x)
        r = x  # (B, 3, H, W): the first residual is the picture itself
        all_codes, all_x_hat = [], []
        for t in range(iterations):
            features, encoder_state = self.encoder(self.residual_gain(r, t), encoder_state)
            codes = self.binarizer(features, t)
            all_codes.append(codes)
            if mask is not None and t == iterations - 1:
                codes = codes * mask
            x_hat, decoder_state = self.decoder(codes, t, decoder_state)
            r = x - x_hat.float()
            all_x_hat.append(x_hat)
        return all_codes, all_x_hat


def conv_lstm(config: ModelConfig) -> Compressor:
    """The convolutional/deconvolutional LSTM compressor (section 3.5)."""
    return Compressor(
        Encoder(config.encoder_filters),
        Binarizer(config.encoder_filters[-1], config.code_planes, config.iterations),
        Decoder(config.code_planes, config.decoder_filters, config.iterations),
        config.iterations,
    )


FAMILIES: dict[str, Callable[[ModelConfig], Compressor]] = {"conv_lstm": conv_lstm}


def build(config: ModelConfig) -> Compressor:
    """A fresh network for ``config``; raises `ConfigError` for an unknown family."""
    if config.family not in FAMILIES:
        raise ConfigError(f"unknown family {config.family!r}; known: {', '.join(FAMILIES)}")
    return FAMILIES[config.family](config)
