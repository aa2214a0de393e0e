"""Luong's local attention: the windows and the Gaussian against loops over section 3.2."""

import math

import attention_references as ar
import pytest
import torch
from tiny import redraw

from seq2seq.attention.scopes import LocalMonotonic, LocalPredictive
from seq2seq.kernels.padding import length_mask

EXACT = {"rtol": 0, "atol": 1e-10}
LENGTHS = torch.tensor([9, 4, 1, 0])
WIDTH = 9


def drawn(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def predictive(*, window: int, heads: int | None = None) -> LocalPredictive:
    scope = LocalPredictive(query_size=6, size=4, window=window, heads=heads)
    redraw(scope, seed=3, spread=1.0)
    return scope.double()


@pytest.mark.parametrize("reach", [1, 2, 10])
def test_local_m_attends_around_its_own_step(reach):
    steps = torch.arange(1, 13)
    query = drawn(4, 12, 6, seed=1)
    window = LocalMonotonic(window=reach)(query, steps, LENGTHS.unsqueeze(1), WIDTH)
    assert window.prior is None
    nonpad = length_mask(LENGTHS, WIDTH)
    inside = window.mask & nonpad.unsqueeze(1)
    for b in range(4):
        for t in range(12):
            expected = ar.local_m(t + 1, nonpad[b].tolist(), reach=reach)
            assert inside[b, t].tolist() == expected.inside


def test_local_m_worked_out_by_hand():
    scope = LocalMonotonic(window=1)
    steps, lengths = torch.tensor([[2, 9]]), torch.tensor([[4]])
    mask, _ = scope(torch.zeros(1, 2, 3), steps, lengths, 5)
    # t = 2: positions 1 to 3; t = 9 stays at the last of 4: positions 3 to 5
    assert mask.tolist() == [[[True, True, True, False, False], [False, False, True, True, True]]]


@pytest.mark.parametrize("reach", [1, 2, 10])
def test_local_p_attends_around_the_position_it_predicts(reach):
    scope = predictive(window=reach)
    query = drawn(4, 5, 6, seed=1)
    window = scope(query, torch.arange(1, 6), LENGTHS.unsqueeze(1), WIDTH)
    nonpad = length_mask(LENGTHS, WIDTH)
    inside = window.mask & nonpad.unsqueeze(1)
    for b in range(4):
        for m in range(5):
            expected = ar.local_p(
                query[b, m].numpy(),
                nonpad[b].tolist(),
                reach=reach,
                for_query=scope.weight.detach().numpy(),
                vector=scope.reduction[0].detach().numpy(),
            )
            assert inside[b, m].tolist() == expected.inside
            torch.testing.assert_close(
                window.prior[b, m], torch.tensor(expected.factor), rtol=0, atol=1e-10
            )


def test_local_p_worked_out_by_hand():
    scope = LocalPredictive(query_size=1, size=1, window=2)
    with torch.no_grad():
        scope.weight.copy_(torch.ones(1, 1))
        scope.reduction.copy_(torch.tensor([[5.0]]))
    # tanh(0) = 0 and sig(0) = 1/2, so p = 4 / 2 = 2; sigma = 1
    mask, prior = scope(torch.zeros(1, 1, 1), torch.tensor([1]), torch.tensor([[4]]), 5)
    assert mask.tolist() == [[[True, True, True, True, False]]]
    expected = [math.exp(-0.5), 1.0, math.exp(-0.5), math.exp(-2), math.exp(-4.5)]
    torch.testing.assert_close(prior[0, 0], torch.tensor(expected))


def test_every_head_predicts_a_position_of_its_own():
    scope = predictive(window=2, heads=3)
    query = drawn(2, 3, 5, 6, seed=2)  # [B, N, L, D]
    lengths = torch.tensor([9, 4])
    mask, prior = scope(query, torch.arange(1, 6), lengths.reshape(2, 1, 1), WIDTH)
    nonpad = length_mask(lengths, WIDTH)
    for b in range(2):
        for head in range(3):
            for m in range(5):
                expected = ar.local_p(
                    query[b, head, m].numpy(),
                    nonpad[b].tolist(),
                    reach=2,
                    for_query=scope.weight[head].detach().numpy(),
                    vector=scope.reduction[head, 0].detach().numpy(),
                )
                assert (mask[b, head, m] & nonpad[b]).tolist() == expected.inside
                torch.testing.assert_close(
                    prior[b, head, m], torch.tensor(expected.factor), **EXACT
                )


@pytest.mark.parametrize("heads", [None, 2])
def test_the_gradient_of_the_gaussian_is_right(heads):
    scope = predictive(window=2, heads=heads)
    lead = () if heads is None else (heads,)
    query = drawn(2, *lead, 3, 6, seed=4).requires_grad_()
    lengths = torch.tensor([7, 3]).reshape(2, *(1 for _ in lead), 1)

    def prior(query, *_):
        return scope(query, torch.arange(1, 4), lengths, 7).prior

    assert torch.autograd.gradcheck(prior, (query, *scope.parameters()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_windows_far_along_a_source_are_the_same_in_every_floating_type(dtype):
    steps = torch.tensor([[1, 255, 256, 257, 301, 390, 2100]])
    lengths = torch.tensor([[2500]])
    scope = LocalMonotonic(window=10)
    exact = scope(torch.zeros(1, 7, 3, dtype=torch.float64), steps, lengths, 2500).mask
    assert exact.sum(-1).tolist() == [[11, 21, 21, 21, 21, 21, 21]]
    mask = scope(torch.zeros(1, 7, 3, dtype=dtype), steps, lengths, 2500).mask
    assert (mask ^ exact).sum(-1).tolist() == [[0] * 7]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_the_gaussian_far_along_a_source_is_close_in_every_floating_type(dtype):
    scope = LocalPredictive(query_size=1, size=1, window=10)
    with torch.no_grad():
        scope.weight.zero_()
    # p = 700 / 2 = 350 exactly, whatever the type of the weights
    query = torch.zeros(1, 1, 1, dtype=dtype, requires_grad=True)
    mask, prior = scope.to(dtype)(query, torch.tensor([1]), torch.tensor([[700]]), 700)
    positions = torch.arange(1, 701)
    expected = torch.exp(-((positions - 350.0) ** 2) / 50)
    assert positions[mask[0, 0]].tolist() == list(range(340, 361))
    torch.testing.assert_close(prior[0, 0].float(), expected, rtol=0, atol=1e-2)
    prior.float().sum().backward()
    assert query.grad.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in scope.parameters())
