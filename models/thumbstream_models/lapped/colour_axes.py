"""The colour axes of a model: along which line the colours of pictures vary most.

A picture is coded after a rotation of its colours that turns one of the axes into grey
(docs/bitstream.md, "Colour axis"). The axes are the centres of clusters of the training pictures'
principal axes; the first one is grey, whose rotation changes nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor

from thumbstream.codec.lapped.colours import CANDIDATES
from thumbstream.codec.lapped.params import AXES

_ROUNDS = 60
_SMALLEST = 20
"""Pictures of a cluster; smaller ones start anew from a random picture."""
_INT8 = 127


def fit(x: Tensor, seed: int = 0) -> Tensor:
    """Axes for pictures like ``x`` ``(B, 3, H, W)``: integers ``(32, 3)``, by angle to grey."""
    generator = torch.Generator().manual_seed(seed)
    values, vectors = torch.linalg.eigh(moments(x).double())
    axes = _towards_grey(vectors[:, :, -1])
    # What a rotation saves depends on how far the colours are from lying on a line.
    weight = 1 - values[:, 1] / values[:, 2].clamp_min(1e-9)

    def drawn(count: int) -> Tensor:
        return torch.multinomial(weight + 1e-9, count, replacement=True, generator=generator)

    grey = torch.full((1, 3), 3**-0.5, dtype=axes.dtype)
    centres = torch.cat([grey, axes[drawn(AXES - 1)]])
    for _ in range(_ROUNDS):
        nearest = (axes @ centres.T).abs().argmax(1)
        for k in range(1, AXES):
            ours = nearest == k
            if int(ours.sum()) < _SMALLEST:
                centres[k] = axes[drawn(1)[0]]
                continue
            spread = (axes[ours] * weight[ours, None]).T @ axes[ours]
            centres[k] = _towards_grey(torch.linalg.eigh(spread).eigenvectors[:, -1])
    centres = centres[(-(centres @ grey[0])).argsort()]
    return (centres / centres.abs().amax(1, keepdim=True) * _INT8).round()


def moments(x: Tensor) -> Tensor:
    """Second moments of the colour differences of neighbouring pixels: ``(B, 3, 3)``."""
    down, across = x[:, :, 1:] - x[:, :, :-1], x[..., 1:] - x[..., :-1]
    steps = torch.cat([down.flatten(2), across.flatten(2)], 2)
    return steps @ steps.transpose(1, 2)


def rotations(axes: Tensor) -> Tensor:
    """Matrices ``(n, 3, 3)`` that turn each of ``axes`` ``(n, 3)`` into grey."""
    unit = axes.double() / axes.double().norm(dim=1, keepdim=True)
    grey = torch.full_like(unit, 3**-0.5)
    cosine = (unit * grey).sum(1)[:, None, None]
    k0, k1, k2 = torch.linalg.cross(unit, grey).unbind(1)
    none = torch.zeros_like(k0)
    cross = torch.stack([none, -k2, k1, k2, none, -k0, -k1, k0, none], 1).view(-1, 3, 3)
    matrices: Tensor = torch.eye(3).double() + cross + cross @ cross / (1 + cosine)
    return matrices.float()


def candidates(x: Tensor, axes: Tensor) -> Tensor:
    """Indices of the axes that an encoder compares for pictures ``x``: ``(B, 5)``, grey first.

    Without the one that encoders add for flat pictures.
    """
    unit = axes.float() / axes.float().norm(dim=1, keepdim=True)
    along = torch.einsum("kc,bcd,kd->bk", unit, moments(x), unit)
    others = along[:, 1:].topk(CANDIDATES).indices + 1
    return torch.cat([torch.zeros_like(others[:, :1]), others], 1)


def rotated(x: Tensor, rotation: Tensor) -> Tensor:
    """Pictures ``(B, 3, H, W)``, each by its matrix of ``(B, 3, 3)``."""
    return torch.einsum("bdc,bchw->bdhw", rotation, x)


def _towards_grey(axes: Tensor) -> Tensor:
    return axes * torch.where(axes.sum(-1, keepdim=True) < 0, -1, 1)
