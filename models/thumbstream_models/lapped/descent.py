"""The optimizer of the integer tables: Adam with a learning rate for each table, and averages."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

_BETAS = (0.9, 0.98)
_GRADIENT_CLIP = 10.0
_EMA_DECAY = 0.99


class Descent:
    """Steps of a model; tables have the learning rates ``rates``, or ``other``."""

    def __init__(self, model: nn.Module, rates: Mapping[str, float], other: float = 0.0) -> None:
        self._model = model
        groups = [
            {"params": [value], "speed": rates.get(name, other)}
            for name, value in model.named_parameters()
        ]
        self._optimizer = torch.optim.Adam(groups, betas=_BETAS)
        self._average = {n: value.detach().clone() for n, value in model.named_parameters()}
        self._steps = 0

    def step(self, loss: Tensor, factor: float) -> None:
        """One step down ``loss``; ``factor`` multiplies all learning rates."""
        for group in self._optimizer.param_groups:
            group["lr"] = group["speed"] * factor
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._model.parameters(), _GRADIENT_CLIP)
        self._optimizer.step()
        self._steps += 1
        decay = min(_EMA_DECAY, self._steps / (self._steps + 10))
        for name, value in self._model.named_parameters():
            self._average[name].lerp_(value.detach(), 1 - decay)

    def finish(self) -> None:
        """Replace the model's tables by their moving averages."""
        self._model.load_state_dict(self._average, strict=False)
