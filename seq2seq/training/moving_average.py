"""An exponential moving average of a model's weights, kept while it is trained."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


class MovingAverage:
    """a_t = (d a_{t-1} + (1 - d) w_t) / (1 - d^t), with a_{t-1} before its correction.

    Averages of the last weights are what Polyak & Juditsky (1992) take of all; the correction is
    that of Adam's moments (Kingma & Ba, 2015, section 3), so that a_1 = w_1. Written on corrected
    averages it is a_t = a_{t-1} + (1 - d) / (1 - d^t) (w_t - a_{t-1}): one pass over the weights.
    """

    def __init__(self, model: nn.Module, *, decay: float) -> None:
        if not 0 < decay < 1:
            raise ValueError(f"a decay of {decay} makes no average")
        self.decay = decay
        self._model = model
        self.weights = {name: p.detach().clone() for name, p in model.named_parameters()}

    @torch.no_grad()
    def add(self, update: int) -> None:
        """Add the weights of the model after update number `update`, counted from 1."""
        share = (1 - self.decay) / (1 - self.decay**update)
        current = [parameter.detach() for parameter in self._model.parameters()]
        torch._foreach_lerp_([*self.weights.values()], current, share)

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """Give the model the averaged weights inside the `with` block, its own again after it."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        parameters = [parameter.detach() for parameter in self._model.parameters()]
        averages = [*self.weights.values()]
        own = [parameter.clone() for parameter in parameters]
        torch._foreach_copy_(parameters, averages)
        torch._foreach_copy_(averages, own)
