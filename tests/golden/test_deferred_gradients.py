"""Linear maps with deferred gradients against F.linear, whose gradients autograd sums in steps."""

import gc
import weakref
from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from tiny import BAHDANAU, CELLS, LUONG, ORDER_AND_SCORE, padded, tiny_model

from seq2seq.decoders import attentive
from seq2seq.kernels import deferred_gradients as kernel
from seq2seq.kernels.deferred_gradients import (
    DeferredGradLinear,
    deferrable_linear,
    deferred_gradients,
)
from seq2seq.kernels.packed_weights import OneDNNWeight, has_packed_products
from seq2seq.kernels.precision import has_bfloat16_products
from seq2seq.recurrent import layers


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


def assert_same_gradients(found, expected, layer):
    """Equal outputs, and equal gradients of the tensors of the layer."""
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    slope = drawn(*expected.shape, seed=4)
    gradients = torch.autograd.grad(found, layer, slope)
    for gradient, right in zip(gradients, torch.autograd.grad(expected, layer, slope), strict=True):
        torch.testing.assert_close(gradient, right, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("lead", [(4,), (2, 4)], ids=["rows", "sequences"])
def test_a_loop_and_its_gradients_are_those_of_the_plain_product(lead):
    layer = drawn(*lead, 3, seed=1), drawn(5, 3, seed=2), drawn(*lead, 5, seed=3)
    found, expected = deferred(*layer), plain(*layer)
    assert_same_gradients(found, expected, layer)


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


def unrolled(inputs, weight, bias, *, steps=3):
    """A loop with a map that has a bias and with a part of its weight, sliced anew each time."""
    state = inputs
    for _ in range(steps):
        output = deferrable_linear(state, weight, bias)  # [..., 5]
        state = deferrable_linear(state, weight[:3]) + output[..., :3].tanh()
    return state


@pytest.mark.parametrize("lead", [(4,), (2, 1, 4)], ids=["rows", "sequences"])
def test_a_block_defers_the_gradients_of_weights_and_biases(lead):
    layer = drawn(*lead, 3, seed=1), drawn(5, 3, seed=2), drawn(5, seed=3)
    expected = unrolled(*layer)
    with deferred_gradients(steps=3):
        found = unrolled(*layer)
    assert_same_gradients(found, expected, layer)


def test_a_weight_that_is_used_outside_of_the_block_too_gets_both_gradients():
    layer = drawn(4, 3, seed=1), drawn(5, 3, seed=2), drawn(5, seed=3)
    with deferred_gradients(steps=3):
        inside = unrolled(*layer)
        with deferred_gradients(steps=3):
            nested = unrolled(*layer)
        again = unrolled(*layer)
    outside = unrolled(*layer)
    found = torch.autograd.grad((inside + nested + again).sum(), layer, retain_graph=True)
    for one, three in zip(torch.autograd.grad(outside.sum(), layer), found, strict=True):
        torch.testing.assert_close(three, 3 * one, rtol=1e-12, atol=1e-12)


def test_biases_of_one_weight_are_kept_apart():
    inputs, weight, biases = drawn(4, 3, seed=1), drawn(5, 3, seed=2), drawn(2, 5, seed=3)
    with deferred_gradients(steps=3):
        found = [deferrable_linear(inputs, weight, bias) for bias in biases]
    for each, bias in zip(found, biases, strict=True):
        torch.testing.assert_close(each, F.linear(inputs, weight, bias))
    (found[0].sum() + 2 * found[1].sum()).backward()
    assert torch.equal(biases.grad[:, 0], torch.tensor([4.0, 8.0], dtype=torch.float64))


@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_what_is_frozen_has_no_gradient_and_changes_none_of_the_others(frozen):
    layer = [drawn(4, 3, seed=1), drawn(5, 3, seed=2), drawn(5, seed=3)]
    layer[frozen].requires_grad_(False)
    others = [each for each in layer if each.requires_grad]
    with deferred_gradients(steps=3):
        found = unrolled(*layer)
    right = torch.autograd.grad(unrolled(*layer).sum(), others)
    for gradient, expected in zip(torch.autograd.grad(found.sum(), others), right, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-12)


def test_a_pass_that_needs_no_gradient_of_the_weight_adds_nothing_to_the_next_one():
    layer = drawn(4, 3, seed=1), drawn(5, 3, seed=2), drawn(5, seed=3)
    with deferred_gradients(steps=3):
        total = unrolled(*layer).sum()
    torch.autograd.grad(total, layer[0], retain_graph=True)
    first = torch.autograd.grad(total, layer, retain_graph=True)
    torch.autograd.grad(total, layer[0], retain_graph=True)
    second = torch.autograd.grad(total, layer)
    for gradient, again in zip(first, second, strict=True):
        assert torch.equal(gradient, again)
    torch.testing.assert_close(first, torch.autograd.grad(unrolled(*layer).sum(), layer))


def test_a_block_ends_with_an_exception():
    with pytest.raises(ValueError), deferred_gradients(steps=3):
        raise ValueError
    assert kernel._active.get() is None


def test_without_gradients_a_block_keeps_nothing():
    layer = drawn(4, 3, seed=1), drawn(5, 3, seed=2), drawn(5, seed=3)
    with deferred_gradients(steps=3):
        with torch.no_grad():
            found = unrolled(*layer)
        with_gradients = unrolled(*layer)
    assert not found.requires_grad
    assert torch.equal(found, with_gradients)
    assert torch.autograd.grad(with_gradients.sum(), layer[1])[0].any()


def test_no_tensor_of_a_loop_outlives_it(monkeypatch):
    made = []
    monkeypatch.setattr(
        kernel, "_Steps", lambda *given, make=kernel._Steps: made.append(make(*given)) or made[-1]
    )
    layer = drawn(4, 3, seed=1), drawn(5, 3, seed=2), drawn(5, seed=3)
    with deferred_gradients(steps=3):
        total = unrolled(*layer).sum()
    total.backward()
    assert len(made) == 2 and not any(each._inputs or each._gradients for each in made)
    references = [weakref.ref(each) for each in made]
    made.clear()
    del total
    gc.collect()
    assert not any(reference() for reference in references)


MODELS = [
    *({"kind": kind, "heads": heads} for kind in ORDER_AND_SCORE for heads in (1, 2)),
    *({"kind": LUONG[4], "cell": cell, "layers": 2} for cell in CELLS),
    *({"kind": LUONG[4], "cell": cell, "recurrent_dropout": 0.5} for cell in CELLS),
    {"kind": BAHDANAU[3], "coverage": "gru", "decoder_self_attention": True},
]


@pytest.mark.parametrize("settings", MODELS, ids=str)
def test_the_gradients_of_a_model_are_those_without_deferral(monkeypatch, settings):
    model = tiny_model(**{"attention_size": 6} | settings).train()
    batch = padded([([5, 6, 7], [5, 6]), ([8], [7]), ([9, 4], [4, 5, 6])])

    def gradients():
        torch.manual_seed(0)
        readouts = model.unroll(batch)[0]
        slope = drawn(*readouts.shape, seed=1)
        return torch.autograd.grad(readouts, list(model.parameters()), slope, allow_unused=True)

    deferred = gradients()
    for module in (attentive, layers):
        monkeypatch.setattr(module, "deferred_gradients", lambda steps: nullcontext())
    for found, expected in zip(deferred, gradients(), strict=True):
        assert (found is None) == (expected is None)
        if expected is not None:
            torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)


def plain_weight(weight):
    """Multiplies as a packed weight does, on any processor."""
    return lambda rows, addend=None: F.linear(rows, weight) + (0 if addend is None else addend)


@pytest.mark.parametrize("lead", [(4,), (4, 1, 1)], ids=["rows", "sequences"])
def test_packed_weights_give_the_same_numbers_but_for_rounding(monkeypatch, lead):
    packed = []
    is_fast = has_bfloat16_products("cpu") and has_packed_products()
    pack = OneDNNWeight if is_fast else plain_weight
    for name in ("has_bfloat16_products", "has_packed_products"):
        monkeypatch.setattr(kernel, name, lambda *_: True)
    monkeypatch.setattr(
        kernel, "OneDNNWeight", lambda weight: packed.append(weight) or pack(weight)
    )
    shapes = (*lead, 3), (5, 3), (5,)
    layer = [(drawn(*shape, seed=1) / 4).detach().bfloat16() for shape in shapes]
    exact = [each.double().requires_grad_() for each in layer]
    layer = [each.requires_grad_() for each in layer]
    expected = unrolled(*exact, steps=16)
    with deferred_gradients(steps=16):
        found = unrolled(*layer, steps=16)
    assert (found.double() - expected).norm() < 0.02 * expected.norm()
    assert len(packed) == 2
    slope = drawn(*expected.shape, seed=4).detach()
    rights = torch.autograd.grad(expected, exact, slope)
    gradients = torch.autograd.grad(found, layer, slope.bfloat16())
    for gradient, right in zip(gradients, rights, strict=True):
        assert (gradient.double() - right).norm() < 0.02 * right.norm()
    assert len(packed) == 4  # two weights and their transposes


def test_nothing_is_packed_but_bfloat16_for_many_steps_and_few_rows(monkeypatch):
    monkeypatch.setattr(kernel, "OneDNNWeight", lambda weight: pytest.fail("packed"))
    for dtype, rows, steps in (
        (torch.float64, 4, 50),
        (torch.bfloat16, 4, 7),
        (torch.bfloat16, 200, 50),
        (torch.float32, 4, 50),
    ):
        inputs, weight = (drawn(rows, 3, seed=1).to(dtype), drawn(5, 3, seed=2).to(dtype))
        with deferred_gradients(steps=steps):
            deferrable_linear(inputs, weight).sum().backward()
