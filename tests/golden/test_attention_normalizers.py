"""Softmax, sparsemax and 1.5-entmax against loops that find their thresholds by other methods."""

import math

import attention_references as ar
import numpy as np
import pytest
import torch

from seq2seq.attention.normalizers import NORMALIZERS, entmax15, sparsemax

EXACT = {"rtol": 0, "atol": 1e-10}
NAMES = tuple(NORMALIZERS)
SPARSE = ("sparsemax", "entmax15")


def drawn(*shape: int, seed: int, spread: float = 1.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return spread * torch.randn(*shape, generator=generator, dtype=torch.float64)


def drawn_mask(*shape: int, seed: int) -> torch.Tensor:
    """Holes anywhere; the first row is wholly masked, the second not at all."""
    mask = torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < 0.7
    mask[0], mask[1] = False, True
    return mask


def referenced(name: str, scores: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    rows = [
        ar.NORMALIZERS[name](row.tolist(), real.tolist())
        for row, real in zip(scores, mask, strict=True)
    ]
    return torch.tensor(np.array(rows))


def test_there_are_three_normalizers():
    assert set(NAMES) == set(ar.NORMALIZERS)


@pytest.mark.parametrize("spread", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("size", [1, 2, 7, 40])
@pytest.mark.parametrize("name", NAMES)
def test_weights_are_those_of_the_paper(name, size, spread):
    scores = drawn(9, size, seed=size, spread=spread)
    mask = drawn_mask(9, size, seed=size)
    weights = NORMALIZERS[name](scores, mask)
    torch.testing.assert_close(weights, referenced(name, scores, mask), **EXACT)
    everywhere = torch.ones_like(mask)
    expected = referenced(name, scores, everywhere)
    torch.testing.assert_close(NORMALIZERS[name](scores, None), expected, **EXACT)
    torch.testing.assert_close(NORMALIZERS[name](scores, everywhere), expected, **EXACT)


@pytest.mark.parametrize("name", NAMES)
def test_positions_that_score_minus_infinity_get_no_weight(name):
    scores, mask = drawn(9, 7, seed=1), drawn_mask(9, 7, seed=1)
    scores[2:, ::3] = -math.inf
    weights = NORMALIZERS[name](scores, mask)
    assert not weights[2:, ::3].any()
    torch.testing.assert_close(weights, referenced(name, scores, mask), **EXACT)


@pytest.mark.parametrize("name", NAMES)
def test_equal_scores_share_equally(name):
    scores = torch.tensor([[3.0, 3.0, 3.0, 3.0], [-5.0, 1.0, 1.0, -5.0]], dtype=torch.float64)
    mask = torch.tensor([[True, True, True, False], [True, True, True, True]])
    weights = NORMALIZERS[name](scores, mask)
    torch.testing.assert_close(weights, referenced(name, scores, mask), **EXACT)
    torch.testing.assert_close(
        weights[0, :3], torch.full((3,), 1 / 3, dtype=torch.float64), **EXACT
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_mask_may_be_the_same_for_many_rows(name):
    scores, mask = drawn(2, 3, 5, seed=2), torch.tensor([True, False, True, True, False])
    weights = NORMALIZERS[name](scores, mask)
    for b in range(2):
        expected = referenced(name, scores[b], mask.expand(3, 5))
        torch.testing.assert_close(weights[b], expected, **EXACT)


def test_sparsemax_worked_out_by_hand():
    scores = torch.tensor([-2.0, 0.0, 0.5], dtype=torch.float64)
    # by hand: of .5, 0, -2 the first two are in: tau = (.5 + 0 - 1) / 2 = -.25
    assert sparsemax(scores).tolist() == [0.0, 0.25, 0.75]
    # one score more than 1 above the others takes everything
    assert sparsemax(torch.tensor([0.0, 1.0, -1.0])).tolist() == [0.0, 1.0, 0.0]


def test_entmax_worked_out_by_hand():
    scores = torch.tensor([-2.0, 0.0, 0.5], dtype=torch.float64)
    # by hand: (0 - tau)^2 + (.25 - tau)^2 = 1: tau = (.5 - sqrt(7.75)) / 4
    tau = (0.5 - math.sqrt(7.75)) / 4
    expected = torch.tensor([0.0, tau**2, (0.25 - tau) ** 2], dtype=torch.float64)
    torch.testing.assert_close(entmax15(scores), expected, **EXACT)
    # one score 2 above the others takes everything
    assert entmax15(torch.tensor([0.0, 2.0, -1.0])).tolist() == [0.0, 1.0, 0.0]


def test_entmax_lies_between_softmax_and_sparsemax():
    scores = drawn(50, 9, seed=3, spread=2.0)
    support = [(NORMALIZERS[name](scores, None) > 0).sum(-1) for name in NAMES]
    soft, sparse, between = (dict(zip(NAMES, support, strict=True))[n] for n in ar.NORMALIZERS)
    assert (soft == 9).all() and (sparse <= between).all() and (between < soft).any()


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_of_a_normalizer_is_right(name, masked):
    scores = drawn(6, 5, seed=4).requires_grad_()
    mask = drawn_mask(6, 5, seed=4) if masked else None
    assert torch.autograd.gradcheck(lambda scores: NORMALIZERS[name](scores, mask), (scores,))


@pytest.mark.parametrize("name", SPARSE)
def test_the_jacobian_of_a_sparse_normalizer_is_that_of_its_paper(name):
    """diag(s) - s s^T / sum(s), with s = [p > 0] for sparsemax (Martins & Astudillo, 2016,
    equation 9) and s = sqrt(p) for 1.5-entmax (Peters et al., 2019, section 3.2)."""
    scores = drawn(6, seed=5)
    weights = NORMALIZERS[name](scores, None)
    s = (weights > 0).double() if name == "sparsemax" else weights.sqrt()
    expected = s.diag() - torch.outer(s, s) / s.sum()
    jacobian = torch.autograd.functional.jacobian(lambda z: NORMALIZERS[name](z, None), scores)
    torch.testing.assert_close(jacobian, expected, **EXACT)


@pytest.mark.parametrize("width", [3, 1000])
@pytest.mark.parametrize("name", NAMES)
def test_single_precision_is_close_to_the_paper_on_long_rows_too(name, width):
    scores = drawn(4, width, seed=6, spread=3.0)
    mask = torch.ones(4, width, dtype=torch.bool)
    weights = NORMALIZERS[name](scores.float(), mask)
    expected = referenced(name, scores.float().double(), mask)
    torch.testing.assert_close(weights.double(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_scores_far_apart_and_far_from_nothing_are_no_trouble(name):
    scores = torch.tensor([[1e30, -1e30, 0.0], [-1e30, -1e30, -3e38], [1e30, 1e30, 1e30]])
    mask = torch.tensor([[True, True, True], [True, True, True], [True, False, True]])
    weights = NORMALIZERS[name](scores, mask)
    expected = torch.tensor([[1, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5]])
    torch.testing.assert_close(weights, expected)
    assert torch.equal(weights > 0, expected > 0)


@pytest.mark.parametrize("width", [1000, 5000])
@pytest.mark.parametrize("name", NAMES)
def test_long_rows_of_nearly_equal_scores_sum_to_one_in_single_precision(name, width):
    scores = drawn(3, width, seed=7, spread=1e-3).float()
    sums = NORMALIZERS[name](scores, None).double().sum(-1)
    torch.testing.assert_close(sums, torch.ones(3).double(), rtol=0, atol=1e-5)
