"""Laws of masks and attention, for every score and floating type."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import SCORES, redraw
from torch import Tensor

from seq2seq.attention import Attention
from seq2seq.masks import length_mask, masked_softmax
from seq2seq.scores import build_score

every_score = pytest.mark.parametrize("name", SCORES)
some = settings(max_examples=25)
shapes = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 6))  # B, M, N
seeds = st.integers(0, 2**16)


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def attention_of(name: str, seed: int) -> Attention:
    attention = Attention(build_score(name, query_size=4, key_size=4, size=5))
    redraw(attention, seed=seed)
    return attention.double()


@st.composite
def looks(draw):
    """Queries [B, M, 4], values [B, N, 4], lengths [B] of 0 to N."""
    b, m, n = draw(shapes)
    lengths = draw(st.lists(st.integers(0, n), min_size=b, max_size=b))
    seed = draw(seeds)
    query, values = drawn(b, m, 4, seed=seed), drawn(b, n, 4, seed=seed + 1)
    return query, values, torch.tensor(lengths)


@every_score
@some
@given(looks(), seeds)
def test_weights_sum_to_one_and_are_nothing_where_masked(name, look, seed):
    query, values, lengths = look
    attention = attention_of(name, seed)
    mask = length_mask(lengths, values.shape[1])
    context, weights = attention(query, attention.keys(values), values, mask)
    assert (weights >= 0).all()
    assert not weights[~mask.unsqueeze(1).expand_as(weights)].any()  # exactly 0
    sums = (lengths > 0).double().unsqueeze(1).expand(weights.shape[:2])
    torch.testing.assert_close(weights.sum(-1), sums, rtol=0, atol=1e-12)
    assert not context[lengths == 0].any()


@every_score
@some
@given(looks(), seeds)
def test_a_wholly_masked_row_passes_no_gradient_and_no_nan(name, look, seed):
    query, values, lengths = look
    lengths[0] = 0
    attention = attention_of(name, seed)
    mask = length_mask(lengths, values.shape[1])
    query.requires_grad_()
    values.requires_grad_()
    context, weights = attention(query, attention.keys(values), values, mask)
    (context.sum() + weights.square().sum()).backward()
    for gradient in (query.grad, values.grad, *(p.grad for p in attention.parameters())):
        assert gradient.isfinite().all()
    assert not query.grad[0].any() and not values.grad[0].any()


@every_score
@some
@given(looks(), seeds)
def test_what_is_masked_does_not_matter(name, look, seed):
    query, values, lengths = look
    attention = attention_of(name, seed)
    mask = length_mask(lengths, values.shape[1])
    other = torch.where(mask.unsqueeze(-1), values, torch.full_like(values, 1e6))
    for ours, theirs in zip(
        attention(query, attention.keys(values), values, mask),
        attention(query, attention.keys(other), other, mask),
        strict=True,
    ):
        assert torch.equal(ours, theirs)


@every_score
@some
@given(looks(), seeds)
def test_memory_in_another_order_is_the_same_memory(name, look, seed):
    query, values, _ = look
    attention = attention_of(name, seed)
    order = torch.randperm(values.shape[1], generator=torch.Generator().manual_seed(seed))
    moved = values[:, order]
    context, weights = attention(query, attention.keys(values), values, None)
    other, other_weights = attention(query, attention.keys(moved), moved, None)
    torch.testing.assert_close(context, other, rtol=0, atol=1e-10)
    torch.testing.assert_close(weights[..., order], other_weights, rtol=0, atol=1e-10)


@some
@given(looks())
def test_equal_scores_look_everywhere_alike(look):
    query, values, lengths = look
    mask = length_mask(lengths, values.shape[1]).unsqueeze(1)
    scores = torch.full((len(query), query.shape[1], values.shape[1]), 3.0)
    weights = masked_softmax(scores, mask)
    expected = mask / lengths.clamp(min=1).reshape(-1, 1, 1)
    torch.testing.assert_close(weights, expected.expand_as(weights), rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@some
@given(
    st.lists(st.lists(st.floats(-60_000, 60_000), min_size=4, max_size=4), min_size=1, max_size=4),
    st.lists(st.integers(0, 4), min_size=4, max_size=4),
)
def test_masks_hold_in_every_floating_type(dtype, rows, lengths):
    scores = torch.tensor(rows, dtype=torch.float64).to(dtype).requires_grad_()
    mask = length_mask(torch.tensor(lengths[: len(rows)]), 4)
    weights = masked_softmax(scores, mask)
    weights.float().square().sum().backward()
    assert weights.dtype == dtype
    assert weights.isfinite().all() and scores.grad.isfinite().all()
    assert not weights[~mask].any() and not scores.grad[~mask].any()
    sums = weights.double().sum(-1)
    real = mask.any(-1).double()
    torch.testing.assert_close(sums, real, rtol=0, atol=2e-2 if dtype.itemsize == 2 else 1e-6)


@every_score
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_attention_in_half_precision_is_finite_and_masked(name, dtype):
    attention = attention_of(name, 1).to(dtype)
    query, values = drawn(2, 3, 4, seed=2).to(dtype), drawn(2, 5, 4, seed=3).to(dtype)
    mask = length_mask(torch.tensor([3, 0]), 5)
    context, weights = attention(query, attention.keys(values), values, mask)
    assert context.isfinite().all() and weights.isfinite().all()
    assert not weights[0, :, 3:].any() and not weights[1].any()
