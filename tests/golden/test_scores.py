"""The five scores against loops over the equations of Luong, Vaswani and Bahdanau."""

import pytest
import references
import torch
from tiny import SCORES, redraw

from seq2seq.scores import (
    AdditiveScore,
    ConcatScore,
    DotScore,
    GeneralScore,
    Score,
    build_score,
)

SIZES = {"dot": (4, 4), "scaled_dot": (4, 4), "general": (3, 5), "additive": (3, 5)} | {
    "concat": (3, 5)
}
EXACT = {"rtol": 0, "atol": 1e-10}


def made(name: str, *, seed: int = 0) -> Score:
    query_size, key_size = SIZES[name]
    score = build_score(name, query_size=query_size, key_size=key_size, size=6)
    redraw(score, seed=seed)
    return score.double()


def drawn(*shape: int, seed: int = 7) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("name", SCORES)
def test_a_score_is_that_of_its_paper(name):
    score, (query_size, key_size) = made(name), SIZES[name]
    query, keys = drawn(2, 3, query_size), drawn(2, 4, key_size, seed=8)
    weights = {key: value.detach().numpy() for key, value in score.named_parameters()}
    reference = references.score_of(name, weights)
    expected = [
        [[reference(q, k) for k in ks] for q in qs]
        for qs, ks in zip(query.numpy(), keys.numpy(), strict=True)
    ]
    torch.testing.assert_close(
        score(query, score.prepare(keys)), torch.tensor(expected, dtype=torch.float64), **EXACT
    )


def test_scores_worked_out_by_hand():
    query = torch.tensor([[1.0, 2.0, 0.0, -1.0]])
    keys = torch.tensor([[3.0, 1.0, 5.0, 1.0], [0.0, 0.0, 9.0, 0.0]])
    # by hand: 3 + 2 + 0 - 1 = 4 and 0; over sqrt(4)
    assert DotScore()(query, keys).tolist() == [[4.0, 0.0]]
    assert build_score("scaled_dot", query_size=4, key_size=4, size=1)(query, keys).tolist() == [
        [2.0, 0.0]
    ]
    general = GeneralScore(query_size=4, key_size=2)
    with torch.no_grad():
        general.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0], [5.0, 5.0], [0.0, 1.0]]))
    # by hand: q^T W = [1, 3]; times [2, 1] = 5
    assert general(query, general.prepare(torch.tensor([[2.0, 1.0]]))).tolist() == [[5.0]]


def test_additive_is_concat_with_the_matrix_shared_out():
    additive, concat = made("additive"), made("concat", seed=1)
    assert isinstance(additive, AdditiveScore) and isinstance(concat, ConcatScore)
    with torch.no_grad():
        additive.weight.copy_(torch.cat([concat.query_weight, concat.key_weight], dim=1))
        additive.reduction.copy_(concat.reduction)
    query, keys = drawn(2, 3, 3), drawn(2, 4, 5, seed=8)
    torch.testing.assert_close(
        additive(query, additive.prepare(keys)), concat(query, concat.prepare(keys)), **EXACT
    )


def test_general_with_the_identity_is_dot():
    general = GeneralScore(query_size=4, key_size=4).double()
    with torch.no_grad():
        general.weight.copy_(torch.eye(4))
    query, keys = drawn(2, 3, 4), drawn(2, 5, 4, seed=8)
    torch.testing.assert_close(
        general(query, general.prepare(keys)), DotScore()(query, keys), **EXACT
    )


def test_additive_with_a_joined_matrix_never_sees_query_and_key_swapped():
    score = made("additive")
    query, keys = drawn(1, 1, 3), drawn(1, 1, 5, seed=8)
    swapped = AdditiveScore(query_size=5, key_size=3, size=6).double()
    with torch.no_grad():
        swapped.weight.copy_(torch.cat([score.weight[:, 3:], score.weight[:, :3]], dim=1))
        swapped.reduction.copy_(score.reduction)
    torch.testing.assert_close(
        score(query, score.prepare(keys)), swapped(keys, swapped.prepare(query)), **EXACT
    )


@pytest.mark.parametrize("name", SCORES)
def test_the_gradient_of_a_score_is_right(name):
    score, (query_size, key_size) = made(name), SIZES[name]
    query = drawn(2, 2, query_size).requires_grad_()
    keys = drawn(2, 3, key_size, seed=8).requires_grad_()
    parameters = tuple(score.parameters())

    def scores(query, keys, *_):
        return score(query, score.prepare(keys))

    assert torch.autograd.gradcheck(scores, (query, keys, *parameters))


@pytest.mark.parametrize("name", ["dot", "scaled_dot"])
def test_a_dot_of_unequal_widths_is_refused(name):
    with pytest.raises(ValueError, match="equal widths"):
        build_score(name, query_size=3, key_size=4, size=1)


def test_an_unknown_score_is_refused():
    with pytest.raises(ValueError, match="cosine"):
        build_score("cosine", query_size=3, key_size=3, size=1)
