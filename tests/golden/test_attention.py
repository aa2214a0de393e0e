"""Masked attention against loops over its equations: every score, normalizer, scope and form."""

from itertools import product
from typing import Any

import attention_references as ar
import numpy as np
import pytest
import torch
from recurrent_references import Norm, layer_norm
from tiny import redraw
from torch import Tensor

from seq2seq.attention.attention import Attention, MultiHeadAttention, attend
from seq2seq.attention.masks import AttentionMask, masked_softmax
from seq2seq.attention.normalizers import NORMALIZERS
from seq2seq.attention.scopes import LocalMonotonic, LocalPredictive, Scope
from seq2seq.attention.scores import SCORES, ScoreSizes, build_score
from seq2seq.attention.self_attention import SelfAttention
from seq2seq.kernels.padding import length_mask

EXACT = {"rtol": 0, "atol": 1e-10}
LENGTHS = torch.tensor([5, 1, 0])  # whole, one position, none
SCOPES = ("global", "local_m", "local_p")
EVERY = list(product(SCORES, NORMALIZERS, SCOPES))
EVERY_TWO = [  # scores, normalizers and scopes, each with each of the others
    (score, normalizer, SCOPES[(i + j) % 3])
    for (i, score), (j, normalizer) in product(enumerate(SCORES), enumerate(NORMALIZERS))
]
FORMS: dict[str, dict[str, Any]] = {
    "one head, projected": {"heads": 1},
    "two heads, projected": {"heads": 2, "size": 8, "value_size": 3},
    "two heads, values unprojected": {"heads": 2, "project_values": False},
    "two heads, slices": {"heads": 2, "projections": False},
}
REACH = 1  # so that a window is less than the source
B, M, N, D = 3, 4, 5, 6


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def padding(lengths: Tensor, width: int) -> AttentionMask:
    return AttentionMask.padding(length_mask(lengths, width))


def scope_of(name: str, *, query_size: int, heads: int | None = None) -> Scope | None:
    if name == "global":
        return None
    if name == "local_m":
        return LocalMonotonic(window=REACH)
    return LocalPredictive(query_size=query_size, size=3, window=REACH, heads=heads)


def single(score: str, normalizer: str, scope: str) -> Attention:
    attention = Attention(
        build_score(score, ScoreSizes(query=D, key=D, inner=4, positions=4)),
        scope=scope_of(scope, query_size=D),
        normalizer=normalizer,
    )
    redraw(attention, seed=3)
    return attention.double()


def several(score: str, normalizer: str, scope: str, **form: Any) -> MultiHeadAttention:
    heads = form["heads"]
    attention = MultiHeadAttention(
        query_size=D,
        score=score,
        positions=4,
        normalizer=normalizer,
        scope=scope_of(scope, query_size=form.get("size", D) // heads, heads=heads),
        **form,
    )
    redraw(attention, seed=3)
    return attention.double()


def window_of(
    attention: Attention, query: ar.Array, step: int, nonpad: list[bool], head: int | None = None
) -> ar.Window:
    """The positions that one query may attend to, by the papers; it is the query of a head."""
    scope = attention.scope
    if scope is None:
        return ar.global_window(nonpad)
    if isinstance(scope, LocalMonotonic):
        return ar.local_m(step, nonpad, reach=REACH)
    assert isinstance(scope, LocalPredictive)
    weight, row = scope.weight.detach().numpy(), scope.reduction.detach().numpy()
    if head is not None:
        weight, row = weight[head], row[head]
    return ar.local_p(query, nonpad, reach=REACH, for_query=weight, vector=row[0])


def named(attention: Attention) -> ar.Weights:
    return {key: value.detach().numpy() for key, value in attention.score.named_parameters()}


@pytest.mark.parametrize(("score", "normalizer", "scope"), EVERY)
def test_attention_is_the_weighted_sum_of_what_it_may_attend_to(score, normalizer, scope):
    attention = single(score, normalizer, scope)
    query, keys, values = drawn(B, M, D, seed=1), drawn(B, N, D, seed=2), drawn(B, N, 3, seed=4)
    mask = length_mask(LENGTHS, N)
    context, weights = attention(query, keys, values, AttentionMask.padding(mask))
    for b, m in product(range(B), range(M)):
        row = query[b, m].numpy()
        expected = ar.attend(
            row,
            keys[b].numpy(),
            values[b].numpy(),
            ar.scores_of(score, named(attention)),
            window_of(attention, row, m + 1, mask[b].tolist()),
            normalizer=ar.NORMALIZERS[normalizer],
        )
        torch.testing.assert_close(context[b, m], torch.tensor(expected.context), **EXACT)
        torch.testing.assert_close(weights[b, 0, m], torch.tensor(expected.weights), **EXACT)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("score", "normalizer", "scope"), EVERY_TWO)
def test_heads_are_attentions_of_their_own(score, normalizer, scope, form):
    attention = several(score, normalizer, scope, **FORMS[form])
    width = FORMS[form].get("value_size", D)
    query, keys = drawn(B, M, D, seed=1), drawn(B, N, D, seed=2)
    values = drawn(B, N, width, seed=4)
    mask = length_mask(LENGTHS, N)
    context, weights = attention(query, keys, values, AttentionMask.padding(mask))
    assert context.shape[-1] == attention.context_size
    heads = attention.heads
    w = ar.head_weights(attention, heads)
    own = named(attention.attention)
    scores = [ar.scores_of(score, own, head=head) for head in range(heads)]
    for b, m in product(range(B), range(M)):
        row, nonpad = query[b, m].numpy(), mask[b].tolist()
        windows = [
            window_of(
                attention.attention,
                ar.head_input(row, w.get("W_Q"), head, heads),
                m + 1,
                nonpad,
                head,
            )
            for head in range(heads)
        ]
        expected = ar.multi_head(
            row,
            keys[b].numpy(),
            values[b].numpy(),
            w,
            scores,
            windows,
            normalizer=ar.NORMALIZERS[normalizer],
        )
        torch.testing.assert_close(context[b, m], torch.tensor(expected.context), **EXACT)
        expected_weights = torch.tensor(np.array(expected.weights))
        torch.testing.assert_close(weights[b, :, m], expected_weights, **EXACT)


@pytest.mark.parametrize("heads", [1, 2, 3])
def test_heads_with_scaled_dot_are_those_of_the_library(heads):
    attention = several("scaled_dot", "softmax", "global", heads=heads)
    query, keys, values = drawn(B, M, D, seed=1), drawn(B, N, D, seed=2), drawn(B, N, D, seed=4)
    lengths = torch.tensor([5, 1, 2])  # the library has NaN for a row that is wholly masked
    mask = length_mask(lengths, N)
    context, weights = attention(query, keys, values, AttentionMask.padding(mask))
    output = torch.eye(D).double() if heads == 1 else attention.output_weight
    expected, expected_weights = torch.nn.functional.multi_head_attention_forward(
        query.transpose(0, 1),
        keys.transpose(0, 1),
        values.transpose(0, 1),
        D,
        heads,
        in_proj_weight=None,
        in_proj_bias=None,
        bias_k=None,
        bias_v=None,
        add_zero_attn=False,
        dropout_p=0.0,
        out_proj_weight=output,
        out_proj_bias=None,
        training=False,
        key_padding_mask=~mask,
        need_weights=True,
        use_separate_proj_weight=True,
        q_proj_weight=attention.query_weight,
        k_proj_weight=attention.key_weight,
        v_proj_weight=attention.value_weight,
        average_attn_weights=False,
    )
    torch.testing.assert_close(context, expected.transpose(0, 1), **EXACT)
    torch.testing.assert_close(weights, expected_weights, **EXACT)


@pytest.mark.parametrize("name", ["dot", "scaled_dot"])
def test_attend_by_the_name_of_a_score(name):
    query, keys, values = drawn(2, 6, seed=1), drawn(3, 6, seed=2), drawn(3, 5, seed=3)
    mask = torch.tensor([True, False, True])
    context, weights = attend(query, keys, values, score=name, mask=mask)
    for m in range(2):
        expected = ar.attend(
            query[m].numpy(),
            keys.numpy(),
            values.numpy(),
            ar.scores_of(name, {}),
            ar.global_window(mask.tolist()),
        )
        torch.testing.assert_close(context[m], torch.tensor(expected.context), **EXACT)
        torch.testing.assert_close(weights[m], torch.tensor(expected.weights), **EXACT)


@pytest.mark.parametrize("name", SCORES)
def test_attend_by_a_score_with_weights(name):
    score = single(name, "softmax", "global").score
    query, keys, values = drawn(2, M, D, seed=1), drawn(2, N, D, seed=2), drawn(2, N, 3, seed=4)
    free, module = attend(query, keys, values, score=score), Attention(score)(query, keys, values)
    torch.testing.assert_close(free.context, module.context, **EXACT)
    torch.testing.assert_close(free.weights.unsqueeze(1), module.weights, **EXACT)


def test_attend_scales_by_default():
    query, values = drawn(2, 6, seed=1), drawn(3, 6, seed=2)
    assert torch.equal(
        attend(query, values, values).weights, attend(query, values, values, "scaled_dot").weights
    )
    assert not torch.equal(
        attend(query, values, values).weights, attend(query, values, values, "dot").weights
    )


@pytest.mark.parametrize("name", ["general", "location", "cosine"])
def test_attend_refuses_the_name_of_a_score_that_needs_weights(name):
    with pytest.raises(ValueError, match=f"{name}.*dot, scaled_dot"):
        attend(drawn(2, 6, seed=1), drawn(3, 6, seed=2), drawn(3, 6, seed=2), score=name)


def test_attend_refuses_unequal_widths():
    with pytest.raises(ValueError, match="equal widths, not 6 and 5"):
        attend(drawn(2, 6, seed=1), drawn(3, 5, seed=2), drawn(3, 6, seed=2), score="dot")


def test_every_query_may_have_a_mask_of_its_own():
    query, values = drawn(2, 6, seed=1), drawn(3, 6, seed=2)
    causal = torch.tensor([[True, False, False], [True, True, False]])
    _, weights = attend(query, values, values, mask=causal)
    assert weights[0].tolist() == [1.0, 0.0, 0.0]
    assert weights[1, 2] == 0 and weights[1, :2].sum().item() == pytest.approx(1.0)


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8])
def test_a_mask_of_whole_numbers_is_refused(dtype):
    query, values = drawn(2, 6, seed=1), drawn(3, 6, seed=2)
    with pytest.raises(ValueError, match="boolean or floating"):
        attend(query, values, values, mask=torch.ones(3, dtype=dtype))


@pytest.mark.parametrize("shape", [(4,), (3, 3), (5, 2, 3)])
def test_a_mask_that_does_not_fit_is_refused(shape):
    query, values = drawn(2, 6, seed=1), drawn(3, 6, seed=2)
    with pytest.raises(ValueError, match="does not fit"):
        attend(query, values, values, mask=torch.ones(shape, dtype=torch.bool))


def test_key_padding_given_as_a_matrix_is_refused_with_the_way_to_give_it():
    query, values = drawn(B, M, D, seed=1), drawn(B, N, D, seed=2)
    mask = length_mask(LENGTHS, N)  # [B, S]
    for attention in (
        lambda mask: attend(query, values, values, mask=mask),
        lambda mask: single("dot", "softmax", "global")(query, values, values, mask),
        lambda mask: several("dot", "softmax", "global", heads=2)(query, values, values, mask),
    ):
        with pytest.raises(ValueError, match=r"key padding.*AttentionMask\.padding\(mask\)"):
            attention(mask)
        attention(AttentionMask.padding(mask))


@pytest.mark.parametrize("shape", [(B, N - 1), (B - 1, N), (B, M, N)])
def test_key_padding_that_does_not_fit_is_refused(shape):
    query, values = drawn(B, M, D, seed=1), drawn(B, N, D, seed=2)
    mask = AttentionMask.padding(torch.ones(shape, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"key padding of .* does not fit scores"):
        attend(query, values, values, mask=mask)


def test_key_padding_is_never_read_as_a_matrix():
    """One sentence without a batch has as many heads as the padding has rows."""
    query, values = drawn(M, D, seed=1), drawn(N, D, seed=2)
    mask = AttentionMask.padding(torch.ones(2, N, dtype=torch.bool))
    with pytest.raises(ValueError, match="does not fit"):
        several("dot", "softmax", "global", heads=2)(query, values, values, mask)
    with pytest.raises(ValueError, match="does not fit"):
        attend(query[:2], values, values, mask=mask)


# The lecture's formula, C = softmax(Q K^T / sqrt(n) + M) V, in NumPy


def lecture_attention(q: ar.Array, k: ar.Array, v: ar.Array, m: ar.Array) -> ar.Array:
    """Q [L, D], K [S, D], V [S, D_v], M [L, S] -> C [L, D_v]; a row of -inf alone gives 0."""
    scores = q @ k.T / np.sqrt(q.shape[-1]) + m
    highest = scores.max(axis=-1, keepdims=True)
    exponentials = np.exp(scores - np.where(np.isfinite(highest), highest, 0.0))
    return exponentials / np.maximum(exponentials.sum(axis=-1, keepdims=True), 1e-300) @ v


def lecture_matrices() -> dict[str, ar.Array]:
    """M [L, S] of every form: anything with holes, causal, a bias, all of them together."""
    rng = np.random.default_rng(5)
    holes = np.where(rng.random((N, N)) < 0.6, 0.0, -np.inf)
    holes[1] = -np.inf  # a query that may attend to nothing
    future = np.where(np.tri(N, dtype=bool), 0.0, -np.inf)
    bias = rng.normal(size=(N, N))
    return {
        "nothing": np.zeros((N, N)),
        "holes": holes,
        "causal": future,
        "bias": bias,
        "causal with holes": future + holes,
        "causal, with holes, biased": future + holes + bias,
    }


@pytest.mark.parametrize("name", lecture_matrices())
def test_attend_with_one_matrix_for_a_batch_is_the_formula_of_the_lecture(name):
    matrix = lecture_matrices()[name]
    query, keys, values = drawn(B, N, D, seed=1), drawn(B, N, D, seed=2), drawn(B, N, 3, seed=4)
    expected = torch.from_numpy(
        np.stack(
            [
                lecture_attention(q, k, v, matrix)
                for q, k, v in zip(query.numpy(), keys.numpy(), values.numpy(), strict=True)
            ]
        )
    )
    masks: list[Tensor | AttentionMask] = [torch.from_numpy(matrix)]
    if not np.isin(matrix, (0.0, -np.inf)).all():  # the same in two parts
        added = torch.from_numpy(np.where(np.isfinite(matrix), matrix, 0.0))
        masks.append(AttentionMask(added) & AttentionMask(torch.from_numpy(np.isfinite(matrix))))
    else:
        masks.append(torch.from_numpy(np.isfinite(matrix)))  # boolean
    if name == "causal":
        masks.append(AttentionMask.causal(N))
    if name == "causal with holes":
        holes = torch.from_numpy(np.isfinite(lecture_matrices()["holes"]))
        masks.append(AttentionMask.causal(N) & AttentionMask(holes))
    for mask in masks:
        context, weights = attend(query, keys, values, mask=mask)
        torch.testing.assert_close(context, expected, rtol=0, atol=1e-12)
        assert not weights[:, ~torch.from_numpy(np.isfinite(matrix))].any()  # exactly 0
        module = Attention(build_score("scaled_dot", ScoreSizes(query=D, key=D)))
        torch.testing.assert_close(
            module(query, keys, values, mask).context, expected, rtol=0, atol=1e-12
        )


@pytest.mark.parametrize("floating", [False, True])
def test_a_causal_mask_with_key_padding_is_the_formula_of_the_lecture(floating):
    query, keys, values = drawn(B, N, D, seed=1), drawn(B, N, D, seed=2), drawn(B, N, 3, seed=4)
    nonpad = length_mask(LENGTHS, N)
    added = torch.zeros(B, N).double().masked_fill(~nonpad, float("-inf"))
    padding = AttentionMask.padding(added if floating else nonpad)
    mask = AttentionMask.causal(N) & padding
    context, _ = attend(query, keys, values, mask=mask)
    for b in range(B):
        matrix = np.where(np.tri(N, dtype=bool) & nonpad[b].numpy(), 0.0, -np.inf)
        expected = lecture_attention(query[b].numpy(), keys[b].numpy(), values[b].numpy(), matrix)
        torch.testing.assert_close(context[b], torch.from_numpy(expected), rtol=0, atol=1e-12)


@pytest.mark.parametrize("leading", [(), (2,), (2, 3)])
def test_attend_takes_any_leading_dimensions_and_masks_as_the_library_does(leading):
    query, keys = drawn(*leading, M, D, seed=1), drawn(*leading, N, D, seed=2)
    for shape in ((N,), (M, N), (*leading, M, N), (*(1 for _ in leading), M, N)):
        mask = torch.rand(shape, generator=torch.Generator().manual_seed(3)) < 0.7
        mask[..., 0] = True  # the library has NaN for a row that is wholly masked
        for each in (mask, torch.zeros(shape).double().masked_fill(~mask, float("-inf"))):
            context, weights = attend(query, keys, keys, mask=each)
            matrix = each.expand(M, N) if each.dim() == 1 else each
            expected = torch.nn.functional.scaled_dot_product_attention(query, keys, keys, matrix)
            torch.testing.assert_close(context, expected, rtol=0, atol=1e-12)
            assert weights.shape == (*leading, M, N)


# Matrices of every score, normalizer and scope


def drawn_mask(*shape: int, seed: int) -> Tensor:
    """Holes anywhere; the first row of each batch is wholly masked."""
    mask = torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < 0.6
    mask[..., 0, :] = False
    return mask


@pytest.mark.parametrize("shape", [(B, N), (B, M, N), (N,), (1, M, N), (M, N)])
@pytest.mark.parametrize(("score", "normalizer", "scope"), EVERY_TWO)
def test_a_matrix_of_minus_infinity_is_a_boolean_mask(score, normalizer, scope, shape):
    allowed = (
        drawn_mask(*shape, seed=5) if len(shape) > 1 else torch.tensor([True, False] * 2 + [True])
    )
    added = torch.zeros(shape, dtype=torch.float64).masked_fill(~allowed, float("-inf"))
    if shape == (B, N):
        allowed, added = AttentionMask.padding(allowed), AttentionMask.padding(added)
    query, keys = drawn(B, M, D, seed=1), drawn(B, N, D, seed=2)
    for attention in (
        single(score, normalizer, scope),
        several(score, normalizer, scope, heads=2),
    ):
        for ours, theirs in zip(
            attention(query, keys, keys, added), attention(query, keys, keys, allowed), strict=True
        ):
            assert ours.isfinite().all()
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    if normalizer == "softmax" and scope == "global":
        f = single(score, normalizer, scope).score
        for ours, theirs in zip(
            attend(query, keys, keys, f, added), attend(query, keys, keys, f, allowed), strict=True
        ):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("normalizer", NORMALIZERS)
def test_a_floating_matrix_is_added_to_the_scores(normalizer):
    added = drawn(B, M, N, seed=6).masked_fill(~drawn_mask(B, M, N, seed=5), float("-inf"))
    attention = single("general", normalizer, "global")
    query, keys = drawn(B, M, D, seed=1), drawn(B, N, D, seed=2)
    weights = attention(query, keys, keys, added).weights
    score = ar.scores_of("general", named(attention))
    for b, m in product(range(B), range(M)):
        scores = np.array(score(query[b, m].numpy(), keys[b].numpy())) + added[b, m].numpy()
        expected = ar.NORMALIZERS[normalizer](list(scores), [True] * N)
        torch.testing.assert_close(weights[b, 0, m], torch.tensor(expected), **EXACT)


# Steps, and memory that is projected once


@pytest.mark.parametrize("scope", ["local_m", "local_p"])
def test_a_query_alone_at_its_step_attends_as_among_all(scope):
    for attention in (
        single("additive", "softmax", scope),
        several("additive", "softmax", scope, heads=2),
    ):
        query, values = drawn(B, M, D, seed=1), drawn(B, N, D, seed=2)
        memory, mask = attention.project_memory(values, values), padding(LENGTHS, N)
        together = attention.attend(query, memory, mask)
        for m in range(M):
            steps = torch.full((B, 1), m + 1)
            alone = attention.attend(query[:, m : m + 1], memory, mask, steps=steps)
            torch.testing.assert_close(alone.context, together.context[:, m : m + 1], **EXACT)
            torch.testing.assert_close(alone.weights, together.weights[..., m : m + 1, :], **EXACT)


def test_sentences_may_be_at_steps_of_their_own():
    attention = several("dot", "softmax", "local_m", heads=2)
    query, values = drawn(2, 1, D, seed=1), drawn(2, N, D, seed=2)
    steps = torch.tensor([[1], [4]])
    weights = attention.attend(query, attention.project_memory(values, values), steps=steps).weights
    attended = (weights > 0).any(1)[:, 0]
    # D = 1: positions 1 and 2; positions 3 to 5
    assert attended.tolist() == [
        [True, True, False, False, False],
        [False, False, True, True, True],
    ]


# Masks


def test_padding_gets_no_weight():
    weights = masked_softmax(torch.tensor([[2.0, 1.0, 9.0]]), torch.tensor([[True, True, False]]))
    # by hand: e / (e + 1) = 0.7311
    torch.testing.assert_close(weights, torch.tensor([[0.7311, 0.2689, 0.0]]), atol=1e-4, rtol=0)


def test_lengths_become_masks():
    assert length_mask(torch.tensor([2, 0, 3]), 3).tolist() == [
        [True, True, False],
        [False, False, False],
        [True, True, True],
    ]


def test_a_causal_mask_hides_the_future():
    assert AttentionMask.causal(3).matrix.tolist() == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]


# Dropout, sizes, and self-attention


@pytest.mark.parametrize("heads", [None, 2])
def test_attention_dropout_acts_on_the_sum_but_not_on_the_weights_returned(heads):
    torch.manual_seed(0)
    widths = ScoreSizes(query=D, key=D)
    attention: Attention | MultiHeadAttention = (
        Attention(build_score("dot", widths), dropout=0.5)
        if heads is None
        else MultiHeadAttention(query_size=D, heads=heads, dropout=0.5, projections=False)
    ).double()
    query, values = drawn(B, M, D, seed=1), torch.ones(B, N, D, dtype=torch.float64)
    train = attention(query, values, values)
    evaluated = attention.eval()(query, values, values)
    torch.testing.assert_close(train.weights, evaluated.weights, **EXACT)
    torch.testing.assert_close(evaluated.context, torch.ones_like(evaluated.context), **EXACT)
    assert (train.context - 1).abs().max() > 0.1


@pytest.mark.parametrize(("heads", "widths"), [(4, {}), (5, {"value_size": 10})])
def test_heads_that_do_not_divide_a_width_are_refused(heads, widths):
    with pytest.raises(ValueError, match=f"{heads} heads do not divide"):
        MultiHeadAttention(query_size=D, heads=heads, **widths)


def test_adaptive_weights_map_unequal_widths():
    attention = MultiHeadAttention(
        query_size=4, key_size=3, value_size=5, size=8, heads=2, score="dot"
    ).double()
    context, weights = attention(
        drawn(2, M, 4, seed=1), drawn(2, N, 3, seed=2), drawn(2, N, 5, seed=3)
    )
    assert context.shape == (2, M, attention.context_size) and weights.shape == (2, 2, M, N)


@pytest.mark.parametrize("heads", [1, 2])
def test_self_attention_is_attention_of_states_to_themselves(heads):
    layer = SelfAttention(size=D, heads=heads)
    redraw(layer, seed=3)
    layer.double().eval()
    states = drawn(B, N, D, seed=1)
    mask = length_mask(LENGTHS, N)
    found = layer(states, AttentionMask.padding(mask))
    w = ar.head_weights(layer.attention, heads)
    scores = [ar.scores_of("scaled_dot", {})] * heads
    gain, bias = layer.norm.weight.detach().numpy(), layer.norm.bias.detach().numpy()
    for b, m in product(range(B), range(N)):
        rows, window = states[b].numpy(), ar.global_window(mask[b].tolist())
        attended = ar.multi_head(rows[m], rows, rows, w, scores, [window] * heads)
        # Vaswani et al. (2017), section 3.1: LayerNorm(x + Sublayer(x))
        expected = layer_norm(rows[m] + attended.context, Norm(gain, bias))
        torch.testing.assert_close(found[b, m], torch.tensor(expected), **EXACT)


def test_causal_self_attention_does_not_depend_on_what_follows():
    layer = SelfAttention(size=D, heads=2).double().eval()
    states = drawn(1, N, D, seed=1)
    whole = layer(states, AttentionMask.causal(N))
    for length in range(1, N):
        start = layer(states[:, :length], AttentionMask.causal(length))
        torch.testing.assert_close(whole[:, :length], start, **EXACT)


# Gradients


@pytest.mark.parametrize("heads", [None, 1, 2])
@pytest.mark.parametrize(("score", "normalizer", "scope"), EVERY_TWO)
def test_the_gradient_of_attention_is_right(score, normalizer, scope, heads):
    attention = (
        single(score, normalizer, scope)
        if heads is None
        else several(score, normalizer, scope, heads=heads)
    )
    query = drawn(B, 2, D, seed=1).requires_grad_()
    keys = drawn(B, 4, D, seed=2).requires_grad_()
    values = drawn(B, 4, D, seed=4).requires_grad_()
    mask = padding(torch.tensor([4, 1, 0]), 4)

    def outputs(query, keys, values, *_):
        return tuple(attention(query, keys, values, mask))

    inputs = (query, keys, values, *attention.parameters())
    assert torch.autograd.gradcheck(outputs, inputs, fast_mode=True)


def test_the_gradient_of_the_masked_softmax_is_right():
    scores = drawn(3, 4, seed=4).requires_grad_()
    mask = length_mask(torch.tensor([4, 1, 0]), 4)
    assert torch.autograd.gradcheck(lambda scores: masked_softmax(scores, mask), (scores,))
    assert torch.autograd.gradcheck(lambda scores: masked_softmax(scores, None), (scores,))
