"""Gradients of large functions, checked along one direction of all parameters at once."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

STEP, TOLERANCE = 1e-6, 2e-6  # differences in float64 are seldom off by more than 1e-8


def assert_gradient_is_right(
    outputs: Callable[[], Iterable[Tensor]], parameters: Iterable[Tensor]
) -> None:
    """Autograd's derivative of a random sum of the outputs, beside that of central differences.

    The parameters change along one random direction, so that an error in the gradient of any one of
    them shows in the sum. `torch.autograd.gradcheck` does it a parameter at a time, which takes two
    forward passes for each.
    """
    generator = torch.Generator().manual_seed(0)

    def drawn_like(tensors: Iterable[Tensor]) -> list[Tensor]:
        return [torch.randn(each.shape, generator=generator).to(each) for each in tensors]

    parameters = list(dict.fromkeys(parameters))
    made = list(outputs())
    weights, directions = drawn_like(made), drawn_like(parameters)
    gradients = torch.autograd.grad(made, parameters, weights, allow_unused=True)
    expected = sum(
        (gradient * direction).sum().item()
        for gradient, direction in zip(gradients, directions, strict=True)
        if gradient is not None
    )

    def after(step: float) -> float:
        """The sum once the parameters went a step further along the direction."""
        with torch.no_grad():
            for parameter, direction in zip(parameters, directions, strict=True):
                parameter.add_(direction, alpha=step)
            return sum((w * each).sum().item() for w, each in zip(weights, outputs(), strict=True))

    ahead, behind = after(STEP), after(-2 * STEP)
    after(STEP)
    found = (ahead - behind) / (2 * STEP)
    assert abs(found - expected) < TOLERANCE, (found, expected)
