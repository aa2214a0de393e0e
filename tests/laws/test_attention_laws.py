"""Laws of masks and attention, for every score, normalizer, scope, number of heads and type."""

from itertools import product

import pytest
import torch
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from tiny import redraw
from torch import Tensor

from seq2seq.attention.attention import MultiHeadAttention
from seq2seq.attention.masks import AttentionMask, masked_softmax
from seq2seq.attention.normalizers import NORMALIZERS
from seq2seq.attention.scopes import LocalMonotonic, LocalPredictive, Scope
from seq2seq.attention.scores import SCORES
from seq2seq.kernels.padding import length_mask

SCOPES = ("global", "local_m", "local_p")
GRID = [  # scores, normalizers, scopes and heads, each with each of the others
    (score, normalizer, SCOPES[(i + j) % 3], 1 + (i + j) % 2)
    for (i, score), (j, normalizer) in product(enumerate(SCORES), enumerate(NORMALIZERS))
]
every_attention = pytest.mark.parametrize(("score", "normalizer", "scope", "heads"), GRID)
every_normalizer = pytest.mark.parametrize("normalizer", NORMALIZERS)
HALVES = (torch.float16, torch.bfloat16)
some = examples(15)
few = examples(6)  # of each in the grid
shapes = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 6))  # B, M, N
seeds = st.integers(0, 2**16)
D = 4


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def padding(lengths: Tensor, width: int) -> AttentionMask:
    return AttentionMask.padding(length_mask(lengths, width))


def scope_of(name: str, heads: int) -> Scope | None:
    if name == "global":
        return None
    if name == "local_m":
        return LocalMonotonic(window=1)
    return LocalPredictive(query_size=D // heads, size=3, window=1, heads=heads)


def attention_of(score: str, normalizer: str, scope: str, heads: int, seed: int):
    attention = MultiHeadAttention(
        query_size=D,
        heads=heads,
        score=score,
        normalizer=normalizer,
        scope=scope_of(scope, heads),
        positions=5,  # of up to 6: one position can be beyond the table of "location"
    )
    redraw(attention, seed=seed)
    return attention.double().eval()


@st.composite
def inputs(draw):
    """Queries [B, L, 4], values [B, S, 4], lengths [B] of 0 to S."""
    b, m, n = draw(shapes)
    lengths = draw(st.lists(st.integers(0, n), min_size=b, max_size=b))
    seed = draw(seeds)
    query, values = drawn(b, m, D, seed=seed), drawn(b, n, D, seed=seed + 1)
    return query, values, torch.tensor(lengths)


@every_attention
@few
@given(inputs(), seeds)
def test_weights_sum_to_one_and_are_zero_where_masked(
    score, normalizer, scope, heads, drawn_inputs, seed
):
    query, values, lengths = drawn_inputs
    attention = attention_of(score, normalizer, scope, heads, seed)
    mask = length_mask(lengths, values.shape[1])
    context, weights = attention(query, values, values, AttentionMask.padding(mask))
    assert (weights >= 0).all()
    assert not weights[~mask[:, None, None].expand_as(weights)].any()  # exactly 0
    sums = weights.sum(-1)  # [B, heads, M]
    expected = (lengths > 0).double().reshape(-1, 1, 1).expand_as(sums)
    if scope == "local_p":
        # Luong et al. (2015), equation 10: multiplied by the Gaussian, and not shared out again
        assert (sums <= expected + 1e-12).all()
    else:
        torch.testing.assert_close(sums, expected, rtol=0, atol=1e-12)
    assert not context[lengths == 0].any()


@every_attention
@few
@given(inputs(), seeds)
def test_a_wholly_masked_row_passes_no_gradient_and_no_nan(
    score, normalizer, scope, heads, drawn_inputs, seed
):
    query, values, lengths = drawn_inputs
    lengths[0] = 0
    attention = attention_of(score, normalizer, scope, heads, seed)
    mask = length_mask(lengths, values.shape[1])
    query.requires_grad_()
    values.requires_grad_()
    context, weights = attention(query, values, values, AttentionMask.padding(mask))
    assert not context[0].any() and not weights[0].any()
    (context.sum() + weights.square().sum()).backward()
    for gradient in (query.grad, values.grad, *(p.grad for p in attention.parameters())):
        assert gradient.isfinite().all()
    assert not query.grad[0].any() and not values.grad[0].any()


@every_attention
@few
@given(inputs(), seeds)
def test_what_is_masked_does_not_matter(score, normalizer, scope, heads, drawn_inputs, seed):
    query, values, lengths = drawn_inputs
    attention = attention_of(score, normalizer, scope, heads, seed)
    mask = length_mask(lengths, values.shape[1])
    other = torch.where(mask.unsqueeze(-1), values, torch.full_like(values, 1e6))
    for ours, theirs in zip(
        attention(query, values, values, AttentionMask.padding(mask)),
        attention(query, other, other, AttentionMask.padding(mask)),
        strict=True,
    ):
        assert torch.equal(ours, theirs)


@every_attention
@few
@given(inputs(), seeds)
def test_more_padding_does_not_matter(score, normalizer, scope, heads, drawn_inputs, seed):
    query, values, lengths = drawn_inputs
    attention = attention_of(score, normalizer, scope, heads, seed)
    width = values.shape[1]
    context, weights = attention(query, values, values, padding(lengths, width))
    wider = torch.cat([values, drawn(len(values), 3, D, seed=seed)], dim=1)
    other, other_weights = attention(query, wider, wider, padding(lengths, width + 3))
    torch.testing.assert_close(other, context, rtol=0, atol=1e-12)
    torch.testing.assert_close(other_weights[..., :width], weights, rtol=0, atol=1e-12)
    assert not other_weights[..., width:].any()


@every_attention
@few
@given(inputs(), seeds)
def test_a_sentence_alone_is_what_it_is_among_others(
    score, normalizer, scope, heads, drawn_inputs, seed
):
    query, values, lengths = drawn_inputs
    attention = attention_of(score, normalizer, scope, heads, seed)
    mask = length_mask(lengths, values.shape[1])
    together = attention(query, values, values, AttentionMask.padding(mask))
    for b in range(len(query)):
        alone = attention(query[b], values[b], values[b], AttentionMask.padding(mask[b]))
        for ours, theirs in zip(alone, together, strict=True):
            torch.testing.assert_close(ours, theirs[b], rtol=0, atol=1e-12)


IGNORES_POSITIONS = [
    (score, normalizer, heads)
    for score, normalizer, scope, heads in GRID
    if score != "location" and scope == "global"
]


@pytest.mark.parametrize(("score", "normalizer", "heads"), IGNORES_POSITIONS)
@few
@given(inputs(), seeds)
def test_memory_in_another_order_is_the_same_memory(score, normalizer, heads, drawn_inputs, seed):
    query, values, lengths = drawn_inputs
    attention = attention_of(score, normalizer, "global", heads, seed)
    order = torch.randperm(values.shape[1], generator=torch.Generator().manual_seed(seed))
    reordered, mask = values[:, order], length_mask(lengths, values.shape[1])
    context, weights = attention(query, values, values, AttentionMask.padding(mask))
    other, other_weights = attention(
        query, reordered, reordered, AttentionMask.padding(mask[:, order])
    )
    torch.testing.assert_close(context, other, rtol=0, atol=1e-10)
    torch.testing.assert_close(weights[..., order], other_weights, rtol=0, atol=1e-10)


@pytest.mark.parametrize("dtype", HALVES)
@every_attention
def test_attention_in_half_precision_is_finite_and_masked(score, normalizer, scope, heads, dtype):
    attention = attention_of(score, normalizer, scope, heads, 1).to(dtype)
    query = drawn(3, 3, D, seed=2).to(dtype).requires_grad_()
    values = drawn(3, 40, D, seed=3).to(dtype).requires_grad_()
    mask = length_mask(torch.tensor([40, 3, 0]), 40)
    added = torch.zeros(3, 40, dtype=dtype).masked_fill(~mask, float("-inf"))
    for each in (mask, added):
        query.grad = values.grad = None
        context, weights = attention(query, values, values, AttentionMask.padding(each))
        assert context.dtype == weights.dtype == dtype
        assert context.isfinite().all() and weights.isfinite().all()
        assert not weights[1, ..., 3:].any() and not weights[2].any() and not context[2].any()
        assert (weights.double().sum(-1) <= 1 + 2e-2).all()
        (context.float().sum() + weights.float().square().sum()).backward()
        assert query.grad.isfinite().all() and values.grad.isfinite().all()
        assert not query.grad[2].any() and not values.grad[2].any()
        assert all(p.grad.isfinite().all() for p in attention.parameters())


@every_normalizer
@pytest.mark.parametrize("dtype", [*HALVES, torch.float32, torch.float64])
@some
@given(
    st.lists(st.lists(st.floats(-60_000, 60_000), min_size=4, max_size=4), min_size=1, max_size=4),
    st.lists(st.integers(0, 4), min_size=4, max_size=4),
)
def test_attention_masks_hold_in_every_floating_type(normalizer, dtype, rows, lengths):
    scores = torch.tensor(rows, dtype=torch.float64).to(dtype).requires_grad_()
    mask = length_mask(torch.tensor(lengths[: len(rows)]), 4)
    weights = NORMALIZERS[normalizer](scores, mask)
    weights.float().square().sum().backward()
    assert weights.dtype == dtype
    assert weights.isfinite().all() and scores.grad.isfinite().all()
    assert not weights[~mask].any() and not scores.grad[~mask].any()
    sums = weights.double().sum(-1)
    expected = mask.any(-1).double()
    torch.testing.assert_close(sums, expected, rtol=0, atol=2e-2 if dtype.itemsize == 2 else 1e-6)


@every_normalizer
@some
@given(inputs())
def test_equal_scores_get_equal_weights(normalizer, drawn_inputs):
    query, values, lengths = drawn_inputs
    mask = length_mask(lengths, values.shape[1]).unsqueeze(1)
    scores = torch.full((len(query), query.shape[1], values.shape[1]), 3.0)
    weights = NORMALIZERS[normalizer](scores, mask)
    expected = mask / lengths.clamp(min=1).reshape(-1, 1, 1)
    torch.testing.assert_close(weights, expected.expand_as(weights), rtol=0, atol=1e-6)


@every_normalizer
@some
@given(inputs(), st.floats(-1e4, 1e4), st.floats(0.1, 10))
def test_a_number_added_to_all_scores_changes_nothing(normalizer, drawn_inputs, shift, spread):
    query, values, lengths = drawn_inputs
    scores = spread * query @ values.transpose(1, 2)
    mask = length_mask(lengths, values.shape[1]).unsqueeze(1)
    normalize = NORMALIZERS[normalizer]
    torch.testing.assert_close(
        normalize(scores + shift, mask), normalize(scores, mask), rtol=0, atol=1e-9
    )


@pytest.mark.parametrize(("normalizer", "reach"), [("sparsemax", 1.0), ("entmax15", 2.0)])
@some
@given(inputs(), st.floats(0.1, 10))
def test_sparse_attention_is_exactly_zero_far_below_the_best(
    normalizer, reach, drawn_inputs, spread
):
    query, values, _ = drawn_inputs
    scores = spread * query @ values.transpose(1, 2)
    weights = NORMALIZERS[normalizer](scores, None)
    # tau is at least the best z - 1 (z / 2 - 1 in entmax15), where the best alone sums to 1
    far = scores <= scores.amax(-1, keepdim=True) - reach
    assert not weights[far].any()
    best = scores == scores.amax(-1, keepdim=True)
    assert (weights[best] > 0).all()


@every_normalizer
@some
@given(inputs(), st.floats(0.1, 10))
def test_a_higher_score_never_gets_a_smaller_weight(normalizer, drawn_inputs, spread):
    query, values, _ = drawn_inputs
    scores = spread * query @ values.transpose(1, 2)
    weights = NORMALIZERS[normalizer](scores, None)
    order = scores.argsort(-1)
    assert (weights.gather(-1, order).diff(dim=-1) >= -1e-15).all()


@some
@given(inputs())
def test_the_softmax_of_attention_is_the_masked_one(drawn_inputs):
    query, values, lengths = drawn_inputs
    scores = query @ values.transpose(1, 2)
    mask = length_mask(lengths, values.shape[1]).unsqueeze(1)
    assert torch.equal(NORMALIZERS["softmax"](scores, mask), masked_softmax(scores, mask))
