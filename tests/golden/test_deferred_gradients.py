"""Linear maps with deferred gradients against F.linear, whose gradients autograd sums in steps."""

import pytest
import torch
import torch.nn.functional as F

from seq2seq.kernels.deferred_gradients import DeferredGradLinear


def drawn(*shape: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()


def deferred(inputs, weight, addend):
    """Three steps, each with the output of the one before; the first has no addend."""
    linear, state = DeferredGradLinear(weight), inputs
    for step in range(3):
        output = linear(state, addend if step else None).tanh()
        state = state + output[..., : state.shape[-1]]
    return state


def plain(inputs, weight, addend):
    state = inputs
    for step in range(3):
        output = (F.linear(state, weight) + (addend if step else 0)).tanh()
        state = state + output[..., : state.shape[-1]]
    return state


@pytest.mark.parametrize("lead", [(4,), (2, 4)], ids=["rows", "sequences"])
def test_a_loop_and_its_gradients_are_those_of_the_plain_product(lead):
    layer = drawn(*lead, 3, seed=1), drawn(5, 3, seed=2), drawn(*lead, 5, seed=3)
    found, expected = deferred(*layer), plain(*layer)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    slope = drawn(*expected.shape, seed=4)
    gradients = torch.autograd.grad(found, layer, slope)
    for gradient, right in zip(gradients, torch.autograd.grad(expected, layer, slope), strict=True):
        torch.testing.assert_close(gradient, right, rtol=1e-12, atol=1e-12)


def test_a_part_of_a_weight_gets_its_part_of_the_gradient():
    weight, inputs = drawn(5, 4, seed=1), drawn(2, 3, seed=2)
    DeferredGradLinear(weight[:, 1:])(inputs).sum().backward()
    assert not weight.grad[:, 0].any()
    torch.testing.assert_close(weight.grad[:, 1:], inputs.detach().sum(0).expand(5, 3))


def test_a_map_that_is_never_used_has_no_gradient():
    weight, other = drawn(5, 3, seed=1), drawn(5, 3, seed=2)
    DeferredGradLinear(weight)
    DeferredGradLinear(other)(torch.ones(1, 3, dtype=torch.float64)).sum().backward()
    assert weight.grad is None
    assert other.grad is not None


def test_two_backward_passes_sum_up():
    weight, inputs = drawn(5, 3, seed=1), drawn(2, 3, seed=2)
    for _ in range(2):
        DeferredGradLinear(weight)(inputs).sum().backward()
    torch.testing.assert_close(weight.grad, 2 * inputs.detach().sum(0).expand(5, 3))


def test_without_gradients_it_keeps_nothing():
    weight = drawn(5, 3, seed=1)
    with torch.no_grad():
        output = DeferredGradLinear(weight)(torch.ones(2, 3, dtype=torch.float64))
    assert not output.requires_grad
    torch.testing.assert_close(output, weight.detach().sum(1).expand(2, 5))
