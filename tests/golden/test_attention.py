"""Masked attention against loops over equations 5 and 6 of Bahdanau et al. (2015)."""

import pytest
import references
import torch
from tiny import SCORES, redraw

from seq2seq.attention import Attention, attend
from seq2seq.masks import length_mask, masked_softmax
from seq2seq.scores import build_score

EXACT = {"rtol": 0, "atol": 1e-10}
LENGTHS = torch.tensor([4, 1, 0])  # whole, one place, none


def drawn(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("name", SCORES)
def test_attention_is_the_weighted_sum_of_what_may_be_seen(name):
    score = build_score(name, query_size=6, key_size=6, size=4)
    redraw(score, seed=3)
    attention = Attention(score.double())
    query, values = drawn(3, 2, 6, seed=1), drawn(3, 4, 6, seed=2)
    mask = length_mask(LENGTHS, 4)
    context, weights = attention(query, attention.keys(values), values, mask)
    named = {key: value.detach().numpy() for key, value in score.named_parameters()}
    for b in range(3):
        for m in range(2):
            expected = references.attention(
                query[b, m].numpy(),
                values[b].numpy(),
                values[b].numpy(),
                mask[b].tolist(),
                references.score_of(name, named),
            )
            torch.testing.assert_close(context[b, m], torch.tensor(expected.context), **EXACT)
            torch.testing.assert_close(weights[b, m], torch.tensor(expected.weights), **EXACT)


@pytest.mark.parametrize("name", ["dot", "scaled_dot"])
def test_attend_by_the_name_of_a_score(name):
    query, keys, values = drawn(2, 6, seed=1), drawn(3, 6, seed=2), drawn(3, 5, seed=3)
    mask = torch.tensor([True, False, True])
    context, weights = attend(query, keys, values, score=name, mask=mask)
    for m in range(2):
        expected = references.attention(
            query[m].numpy(),
            keys.numpy(),
            values.numpy(),
            mask.tolist(),
            references.score_of(name, {}),
        )
        torch.testing.assert_close(context[m], torch.tensor(expected.context), **EXACT)
        torch.testing.assert_close(weights[m], torch.tensor(expected.weights), **EXACT)


def test_a_mask_of_every_query_its_own():
    query, values = drawn(2, 6, seed=1), drawn(3, 6, seed=2)
    causal = torch.tensor([[True, False, False], [True, True, False]])
    _, weights = attend(query, values, values, mask=causal)
    assert weights[0].tolist() == [1.0, 0.0, 0.0]
    assert weights[1, 2] == 0 and weights[1, :2].sum().item() == pytest.approx(1.0)


def test_padding_gets_no_weight():
    weights = masked_softmax(torch.tensor([[2.0, 1.0, 9.0]]), torch.tensor([[True, True, False]]))
    # by hand: e / (e + 1) = 0.7311
    torch.testing.assert_close(weights, torch.tensor([[0.7311, 0.2689, 0.0]]), atol=1e-4, rtol=0)


def test_the_gradient_of_the_masked_softmax_is_right():
    scores = drawn(3, 4, seed=4).requires_grad_()
    mask = length_mask(LENGTHS, 4)
    assert torch.autograd.gradcheck(lambda scores: masked_softmax(scores, mask), (scores,))
    assert torch.autograd.gradcheck(lambda scores: masked_softmax(scores, None), (scores,))


def test_lengths_become_masks():
    assert length_mask(torch.tensor([2, 0, 3]), 3).tolist() == [
        [True, True, False],
        [False, False, False],
        [True, True, True],
    ]
