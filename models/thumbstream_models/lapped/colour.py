"""How far off colours look: distances in OKLab (Ottosson 2020), which is nearly uniform to the eye.

Boxes of 8 x 8 pixels are compared by their mean colours, as a placeholder is seen: whether grass is
green, not where its blades are.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from thumbstream_models.evaluate.metrics import TO_CONES, TO_OKLAB

BOX = 8


def oklab(x: Tensor) -> Tensor:
    """Pixels ``(B, 3, H, W)`` of sRGB, in [0, 1], to lightness and the two chroma coordinates."""
    linear = torch.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055).pow(2.4))
    cones = torch.einsum("dc,bchw->bdhw", torch.tensor(TO_CONES).to(x), linear)
    return torch.einsum(
        "dc,bchw->bdhw", torch.tensor(TO_OKLAB).to(x), cones.clamp_min(0).pow(1 / 3)
    )


def chroma_distance(x: Tensor, x_hat: Tensor) -> Tensor:
    """Mean over boxes of the distance in chroma, times 100, of pictures in [-1, 1]: ``(B,)``."""
    boxes = (
        oklab(functional.avg_pool2d((z.double() + 1) / 2, BOX).clamp(0, 1)) for z in (x, x_hat)
    )
    first, second = boxes
    return 100 * (first - second)[:, 1:].square().sum(1).sqrt().mean((1, 2))
