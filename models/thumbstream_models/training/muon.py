"""Muon: momentum whose matrices are made orthogonal before they change the weights.

Every direction of a matrix then changes at the same rate, also those with small gradients. The
weights of hidden layers are such matrices; biases, gains, and the layers next to pixels and codes
are not, and are left to Adam. See https://kellerjordan.github.io/posts/muon/ for the method and
arXiv 2502.16982 for the scale that lets both use one learning rate.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
ADAM_BETAS = (0.9, 0.999)
RMS = 0.2
"""Root mean square of an update, over the learning rate: about that of Adam."""
_COEFFICIENTS = (3.4445, -4.775, 2.0315)
_STEPS = 5


def orthogonal(matrices: Tensor) -> Tensor:
    """``(n, rows, columns)`` to matrices of the same singular vectors and values near 1.

    Newton-Schulz iterations in bfloat16.
    """
    x = matrices.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    if tall:  # the smaller side decides what a step costs
        x = x.mT
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    a, b, c = _COEFFICIENTS
    for _ in range(_STEPS):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(matrices.dtype)


class Muon(torch.optim.Optimizer):
    """Muon for some parameters, Adam for the others.

    A parameter of ``matrices`` comes with the number of equal matrices that lie along its first
    dimension, such as the gates of an LSTM; its other dimensions are the columns.
    """

    def __init__(
        self,
        matrices: Iterable[tuple[nn.Parameter, int]],
        others: Iterable[nn.Parameter],
        lr: float,
    ) -> None:
        groups = [{"params": [parameter], "matrices": count} for parameter, count in matrices]
        super().__init__([*groups, {"params": list(others), "matrices": 0}], {"lr": lr})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Change every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    update = self._orthogonal if group["matrices"] else self._adam
                    parameter.sub_(group["lr"] * update(parameter, group["matrices"]))

    def _orthogonal(self, parameter: Tensor, count: int) -> Tensor:
        state, grad = self.state[parameter], parameter.grad
        assert grad is not None
        if not state:
            state["momentum"] = torch.zeros_like(grad)
        state["momentum"].lerp_(grad, 1 - MOMENTUM)
        update = grad.lerp(state["momentum"], MOMENTUM)
        matrices = update.reshape(count, len(grad) // count, -1)
        scale = RMS * math.sqrt(max(matrices.shape[1:]))
        return scale * orthogonal(matrices).reshape(grad.shape)

    def _adam(self, parameter: Tensor, _: int) -> Tensor:
        state, grad = self.state[parameter], parameter.grad
        assert grad is not None
        if not state:
            state |= {"mean": torch.zeros_like(grad), "square": torch.zeros_like(grad), "step": 0}
        state["step"] += 1
        first, second = ADAM_BETAS
        state["mean"].lerp_(grad, 1 - first)
        state["square"].lerp_(grad.square(), 1 - second)
        mean = state["mean"] / (1 - first ** state["step"])
        square = state["square"] / (1 - second ** state["step"])
        update: Tensor = mean / (square.sqrt() + 1e-8)
        return update
