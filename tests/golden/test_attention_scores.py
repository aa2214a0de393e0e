"""The scores against loops over the equations of Luong, Vaswani and Bahdanau."""

import attention_references as ar
import pytest
import torch
from tiny import redraw

from seq2seq.attention.scores import (
    SCORES,
    AdditiveScore,
    ConcatScore,
    DotScore,
    FixedConcatScore,
    GeneralScore,
    LocationScore,
    Score,
    ScoreSizes,
    build_score,
)

NAMES = tuple(SCORES)
EQUAL = {"dot": (4, 4), "scaled_dot": (4, 4)}
HEADS = 3
EXACT = {"rtol": 0, "atol": 1e-10}


def score_module(name: str, *, seed: int = 0, heads: int | None = None) -> Score:
    query_size, key_size = EQUAL.get(name, (3, 5))
    widths = ScoreSizes(query=query_size, key=key_size, inner=6, positions=9, heads=heads)
    score = build_score(name, widths)
    redraw(score, seed=seed)
    return score.double()


def drawn(*shape: int, seed: int = 7) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def named(score: Score) -> ar.Weights:
    return {key: value.detach().numpy() for key, value in score.named_parameters()}


def test_there_are_seven_scores():
    lecture = ("dot", "scaled_dot", "general", "additive", "concat")
    assert set(NAMES) == {*lecture, "concat_fixed", "location"}


@pytest.mark.parametrize("name", NAMES)
def test_a_score_is_that_of_its_paper(name):
    score, (query_size, key_size) = score_module(name), EQUAL.get(name, (3, 5))
    query, keys = drawn(2, 3, query_size), drawn(2, 4, key_size, seed=8)
    reference = ar.scores_of(name, named(score))
    expected = [
        [reference(q, ks) for q in qs] for qs, ks in zip(query.numpy(), keys.numpy(), strict=True)
    ]
    torch.testing.assert_close(
        score(query, score.project_keys(keys)), torch.tensor(expected, dtype=torch.float64), **EXACT
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_head_has_a_score_of_its_own(name):
    score, (query_size, key_size) = score_module(name, heads=HEADS), EQUAL.get(name, (3, 5))
    query = drawn(2, HEADS, 3, query_size)
    keys = drawn(2, HEADS, 4, key_size, seed=8)
    scores = score(query, score.project_keys(keys))
    assert scores.shape == (2, HEADS, 3, 4)
    for b in range(2):
        for head in range(HEADS):
            reference = ar.scores_of(name, named(score), head=head)
            expected = [reference(q, keys[b, head].numpy()) for q in query[b, head].numpy()]
            torch.testing.assert_close(
                scores[b, head], torch.tensor(expected, dtype=torch.float64), **EXACT
            )


@pytest.mark.parametrize("heads", [None, HEADS])
@pytest.mark.parametrize("name", NAMES)
def test_prepared_keys_are_as_wide_as_a_score_says(name, heads):
    score, (_, key_size) = score_module(name, heads=heads), EQUAL.get(name, (3, 5))
    keys = drawn(2, 4, key_size) if heads is None else drawn(2, heads, 4, key_size)
    assert score.project_keys(keys).shape == (*keys.shape[:-1], score.projected_size(key_size))


@pytest.mark.parametrize("heads", [None, HEADS])
@pytest.mark.parametrize("name", NAMES)
def test_a_score_needs_no_dimension_for_a_batch(name, heads):
    score, (query_size, key_size) = score_module(name, heads=heads), EQUAL.get(name, (3, 5))
    lead = () if heads is None else (heads,)
    query, keys = drawn(2, *lead, 3, query_size), drawn(2, *lead, 4, key_size, seed=8)
    batched = score(query, score.project_keys(keys))
    for b in range(2):
        torch.testing.assert_close(
            batched[b], score(query[b], score.project_keys(keys[b])), **EXACT
        )


@pytest.mark.parametrize("heads", [None, HEADS])
@pytest.mark.parametrize("name", NAMES)
def test_a_score_is_the_same_in_inference_mode(name, heads):
    score, (query_size, key_size) = score_module(name, heads=heads), EQUAL.get(name, (3, 5))
    lead = () if heads is None else (heads,)
    query, keys = drawn(2, *lead, 3, query_size), drawn(2, *lead, 4, key_size, seed=8)
    expected = score(query, score.project_keys(keys))
    with torch.inference_mode():
        found = score(query, score.project_keys(keys))
    torch.testing.assert_close(found, expected.detach(), **EXACT)


def test_scores_worked_out_by_hand():
    query = torch.tensor([[1.0, 2.0, 0.0, -1.0]])
    keys = torch.tensor([[3.0, 1.0, 5.0, 1.0], [0.0, 0.0, 9.0, 0.0]])
    # by hand: 3 + 2 + 0 - 1 = 4 and 0; over sqrt(4)
    assert DotScore()(query, keys).tolist() == [[4.0, 0.0]]
    scaled = build_score("scaled_dot", ScoreSizes(query=4, key=4))
    assert scaled(query, keys).tolist() == [[2.0, 0.0]]
    general = GeneralScore(query_size=4, key_size=2)
    with torch.no_grad():
        general.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0], [5.0, 5.0], [0.0, 1.0]]))
    # by hand: q^T W = [1, 3]; times [2, 1] = 5
    assert general(query, general.project_keys(torch.tensor([[2.0, 1.0]]))).tolist() == [[5.0]]


def test_location_worked_out_by_hand():
    location = LocationScore(query_size=2, positions=2)
    with torch.no_grad():
        location.weight.copy_(torch.tensor([[1.0, 2.0], [0.0, -1.0]]))
    query = torch.tensor([[3.0, 1.0]])
    # by hand: 3 + 2 and 0 - 1; then of three positions the third is beyond the table
    assert location(query, location.project_keys(torch.zeros(1, 8))).tolist() == [[5.0]]
    beyond = location(query, location.project_keys(torch.zeros(3, 8)))
    assert beyond.tolist() == [[5.0, -1.0, float("-inf")]]


def test_additive_is_concat_with_the_matrix_shared_out():
    for heads in (None, HEADS):
        additive, concat = (
            score_module("additive", heads=heads),
            score_module("concat", seed=1, heads=heads),
        )
        assert isinstance(additive, AdditiveScore) and isinstance(concat, ConcatScore)
        with torch.no_grad():
            additive.weight.copy_(torch.cat([concat.query_weight, concat.key_weight], dim=-1))
            additive.reduction.copy_(concat.reduction)
        lead = () if heads is None else (heads,)
        query, keys = drawn(2, *lead, 3, 3), drawn(2, *lead, 4, 5, seed=8)
        torch.testing.assert_close(
            additive(query, additive.project_keys(keys)),
            concat(query, concat.project_keys(keys)),
            **EXACT,
        )


def test_concat_with_the_identity_for_the_key_is_luongs_code():
    published = score_module("concat_fixed")
    concat = ConcatScore(query_size=3, key_size=5, size=5).double()
    assert isinstance(published, FixedConcatScore)
    with torch.no_grad():
        concat.query_weight.copy_(published.query_weight)
        concat.key_weight.copy_(torch.eye(5))
        concat.reduction.copy_(published.reduction)
    query, keys = drawn(2, 3, 3), drawn(2, 4, 5, seed=8)
    torch.testing.assert_close(
        published(query, published.project_keys(keys)),
        concat(query, concat.project_keys(keys)),
        **EXACT,
    )


def test_general_with_the_identity_is_dot():
    general = GeneralScore(query_size=4, key_size=4).double()
    with torch.no_grad():
        general.weight.copy_(torch.eye(4))
    query, keys = drawn(2, 3, 4), drawn(2, 5, 4, seed=8)
    torch.testing.assert_close(
        general(query, general.project_keys(keys)), DotScore()(query, keys), **EXACT
    )


def test_general_is_dot_after_projecting_the_query():
    general = score_module("general")
    query, keys = drawn(2, 3, 3), drawn(2, 5, 5, seed=8)
    torch.testing.assert_close(
        general(query, general.project_keys(keys)),
        DotScore()(query @ general.weight, keys),
        **EXACT,
    )


def test_location_reads_nothing_of_the_keys():
    location = score_module("location")
    query = drawn(2, 3, 3)
    here, there = (location(query, location.project_keys(drawn(2, 4, 5, seed=s))) for s in (8, 9))
    assert torch.equal(here, there)


def test_additive_with_a_joined_matrix_never_sees_query_and_key_swapped():
    score = score_module("additive")
    query, keys = drawn(1, 1, 3), drawn(1, 1, 5, seed=8)
    swapped = AdditiveScore(query_size=5, key_size=3, size=6).double()
    with torch.no_grad():
        swapped.weight.copy_(torch.cat([score.weight[:, 3:], score.weight[:, :3]], dim=1))
        swapped.reduction.copy_(score.reduction)
    torch.testing.assert_close(
        score(query, score.project_keys(keys)), swapped(keys, swapped.project_keys(query)), **EXACT
    )


@pytest.mark.parametrize("heads", [None, 2])
@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_of_a_score_is_right(name, heads):
    score, (query_size, key_size) = score_module(name, heads=heads), EQUAL.get(name, (3, 5))
    lead = () if heads is None else (heads,)
    query = drawn(2, *lead, 2, query_size).requires_grad_()
    keys = drawn(2, *lead, 3, key_size, seed=8).requires_grad_()
    parameters = tuple(score.parameters())

    def scores(query, keys, *_):
        return score(query, score.project_keys(keys))

    assert torch.autograd.gradcheck(scores, (query, keys, *parameters))


@pytest.mark.parametrize("name", ["dot", "scaled_dot"])
def test_a_dot_of_unequal_widths_is_refused(name):
    with pytest.raises(ValueError, match="equal widths, not 3 and 4"):
        build_score(name, ScoreSizes(query=3, key=4))


def test_an_unknown_score_is_refused():
    with pytest.raises(ValueError, match="cosine"):
        build_score("cosine", ScoreSizes(query=3, key=3))
