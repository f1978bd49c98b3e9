"""The linear transform that encoder and decoder share.

::

    pixels --colour axis, lapping, 8 x 8 blocks--> samples of cells --KLT--> latents of cells
                                      latents of the strongest channels --DCT--> coefficients

Every step is orthonormal, so its inverse is its transpose and the squared error of pixels is that
of the latents that are kept. *Lapping* mixes four pixels on each side of every edge between cells
before the blocks are cut (Malvar 1992, Tran, Liang and Tu 2003), so that a cell reaches 4 pixels
into its neighbours and no edge shows where few latents are known. The *KLT* has the 3 x 64 samples
of a cell at once: colours and places together, the strongest channel first. The *DCT over the
cells* describes the strongest channels by frequencies of the whole picture.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from thumbstream.codec.lapped.params import SIDE
from thumbstream_models.lapped import colour_axes
from thumbstream_models.training.runs import to_tensor

COLOURS = 3
SAMPLES = COLOURS * SIDE**2
"""Of a cell."""
_HALF = SIDE // 2
_SPECTRUM_FLOOR = 1e-9
_FITTED_PSNR = (20, 23, 26, 30)
"""Qualities in dB at which the lapping shall save bits."""
_LAPPING_STEPS = 60
_LAPPING_RATE = 0.03
_LAPPING_CROPS = 1000


class LinearTransform(nn.Module):
    """Pixels to latents and back, for pictures of any number of cells."""

    klt: Tensor
    """``(C, 192)``, orthonormal rows."""
    rotation: Tensor
    """``(4, 4)``, orthonormal: what the lapping does to the differences across an edge."""
    axes: Tensor
    """``(32, 3)``, integers of 8 bits: the colour axes."""
    turns: Tensor
    """``(32, 3, 3)``: their `colour_axes.rotations`."""

    def __init__(self, klt: Tensor, rotation: Tensor, axes: Tensor) -> None:
        super().__init__()
        self.register_buffer("klt", klt)
        self.register_buffer("rotation", rotation)
        self.register_buffer("axes", axes.float())
        self.register_buffer("turns", colour_axes.rotations(axes), persistent=False)

    def blocks(self, x: Tensor) -> Tensor:
        """``(B, 3, 8 h, 8 w)`` to the lapped samples of each cell, ``(B, 192, h, w)``."""
        down, across = (lapping(side, self.rotation) for side in x.shape[2:])
        return functional.pixel_unshuffle(down @ x @ across.T, SIDE)

    def forward(self, blocks: Tensor) -> Tensor:
        """Lapped samples ``(B, 192, h, w)`` to latents ``(B, C, h, w)``."""
        return functional.conv2d(blocks, self.klt[:, :, None, None])

    def inverse(self, y: Tensor) -> Tensor:
        """Latents ``(B, C, h, w)`` to pixels ``(B, 3, 8 h, 8 w)``."""
        x = self.cells(y)
        down, across = (lapping(side, self.rotation) for side in x.shape[2:])
        return down.T @ x @ across

    def cells(self, y: Tensor) -> Tensor:
        """`inverse` without the lapping."""
        blocks = functional.conv2d(y, self.klt.T[:, :, None, None])
        return functional.pixel_shuffle(blocks, SIDE)


def lapping(side: int, rotation: Tensor) -> Tensor:
    """``(side, side)`` orthonormal: mixes 4 + 4 samples around every inner edge of cells.

    Sums of mirrored samples stay; their differences are rotated.
    """
    same = torch.eye(_HALF).to(rotation)
    mirrored = same.flip(0)
    butterfly = torch.cat([torch.cat([same, mirrored], 1), torch.cat([mirrored, -same], 1)])
    apart = torch.zeros_like(same)
    turn = torch.cat([torch.cat([same, apart], 1), torch.cat([apart, rotation], 1)])
    edge = butterfly @ turn @ butterfly / 2
    place = torch.arange(side, device=rotation.device)
    past = place - _HALF  # the first inner edge's first sample
    inner = (past >= 0) & (place < side - _HALF)
    together = inner[:, None] & inner & (past[:, None] // SIDE == past // SIDE)
    whole = (place[:, None] == place).to(rotation)
    return torch.where(together, edge[past % SIDE][:, past % SIDE], whole)


def cosines(count: int, like: Tensor) -> Tensor:
    """The orthonormal DCT-II of ``count`` samples: ``(count, count)``, frequencies in rows."""
    place = torch.arange(count).to(like)
    samples = torch.ones_like(place).sum()
    rows = torch.cos(math.pi / samples * (place + 0.5) * place[:, None]) * (2 / samples).sqrt()
    return torch.where(place[:, None] == 0, math.sqrt(0.5) * rows, rows)


def to_frequencies(y: Tensor) -> Tensor:
    """DCT of each channel over the cells: ``(B, C, h, w)`` to the same."""
    return cosines(y.shape[2], y) @ y @ cosines(y.shape[3], y).T


def from_frequencies(y: Tensor) -> Tensor:
    """The inverse of `to_frequencies`."""
    return cosines(y.shape[2], y).T @ y @ cosines(y.shape[3], y)


def fit(crops: NDArray[np.uint8], channels: int) -> LinearTransform:
    """The transform for pictures like ``crops``, ``(N, 32, 32, 3)``; the same at every call.

    The lapping's rotation is the one for which independent Gaussian cells cost the fewest bits at
    `_FITTED_PSNR`; the rows are the eigenvectors of the second moments of what it leaves.
    """
    x = to_tensor(crops, torch.device("cpu"))
    axes = colour_axes.fit(x)
    angles = torch.zeros(_HALF, _HALF, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([angles], lr=_LAPPING_RATE)
    budgets = [SAMPLES * 4 * 10 ** (-psnr / 10) for psnr in _FITTED_PSNR]
    for step in range(_LAPPING_STEPS):
        chosen = np.random.default_rng(step).integers(len(x), size=min(len(x), _LAPPING_CROPS))
        spectrum = torch.linalg.eigvalsh(_moments(x[chosen], _rotation(angles)))
        bits = torch.stack([_gaussian_bits(spectrum, budget) for budget in budgets])
        cost = torch.log(bits).sum()  # so that every quality counts alike
        optimizer.zero_grad()
        cost.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    rotation = _rotation(angles).detach()
    rows = torch.linalg.eigh(_moments(x, rotation)).eigenvectors.flip(1).T[:channels]
    rows = rows * torch.where(rows.sum(1, keepdim=True) < 0, -1, 1)  # the sign is free
    return LinearTransform(rows.float().contiguous(), rotation.float(), axes)


def _rotation(angles: Tensor) -> Tensor:
    return torch.matrix_exp(angles - angles.T)


def _moments(x: Tensor, rotation: Tensor) -> Tensor:
    """``(192, 192)`` second moments of lapped cells of pictures, in double precision."""
    edge = lapping(x.shape[2], rotation)
    samples = functional.pixel_unshuffle(edge @ x.double() @ edge.T, SIDE)
    samples = samples.permute(0, 2, 3, 1).reshape(-1, SAMPLES)
    return samples.T @ samples / len(samples)


def _gaussian_bits(spectrum: Tensor, distortion: float) -> Tensor:
    """Bits of a cell of independent Gaussians at a squared error: reverse water-filling."""
    spectrum = spectrum.clamp_min(_SPECTRUM_FLOOR)
    values = spectrum.detach()
    low, high = _SPECTRUM_FLOOR, float(values.max())
    for _ in range(50):
        level = math.sqrt(low * high)
        if float(values.clamp_max(level).sum()) > distortion:
            high = level
        else:
            low = level
    return 0.5 * torch.log2((spectrum / level).clamp_min(1)).sum()
