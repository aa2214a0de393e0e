"""The loops that our attention is compared with, on cases small enough to work out by hand."""

import math

import attention_references as ar
import numpy as np
import pytest
from recurrent_references import CellWeights

ONE = np.eye(1)
CLOSE = {"rel": 0, "abs": 1e-12}


def vector(*numbers: float) -> ar.Array:
    return np.array(numbers, dtype=np.float64)


def fixed(*numbers: float) -> ar.RowScore:
    """Scores that do not depend on the query."""
    return lambda query, keys: list(numbers)


# Scores


def test_attention_by_location_knows_only_the_query_and_the_table():
    table = np.array([[1.0, 2.0], [0.0, -1.0]])
    scores = ar.location_scores(vector(3, 1), np.zeros((3, 9)), table=table)
    assert scores == [5.0, -1.0, -math.inf]  # 3 + 2, 0 - 1, and no third row


def test_attention_by_luongs_code_leaves_the_key_as_it_is():
    score = ar.fixed_key_score(
        vector(2), vector(1, -1), for_query=np.array([[0.5], [1.0]]), vector=vector(10, 100)
    )
    # k + W q = [1 + 1, -1 + 2]
    assert score == pytest.approx(10 * math.tanh(2) + 100 * math.tanh(1), **CLOSE)


# Normalizers

README = [-2.0, 0.0, 0.5]
ALL = [True, True, True]


def test_attention_sparsemax_by_hand():
    # sorted .5, 0, -2: 1 + .5 > .5; 1 + 0 > .5; 1 - 6 < -1.5; so tau = (.5 + 0 - 1) / 2 = -.25
    for normalizer in (ar.sparsemax, ar.projected_on_simplex):
        np.testing.assert_allclose(normalizer(README, ALL), [0, 0.25, 0.75], atol=1e-12)
    # masked: 0 and -2 are left: tau = -1, and 0 takes everything
    np.testing.assert_allclose(ar.sparsemax(README, [True, True, False]), [0, 1, 0], atol=1e-12)


def test_attention_entmax_by_hand():
    # z / 2 = -1, 0, .25: (-tau)^2 + (.25 - tau)^2 = 1: 2 tau^2 - .5 tau - .9375 = 0,
    # tau = (.5 - sqrt(.25 + 7.5)) / 4 = -.570971; squares of .570971 and .820971; -1 is below tau
    weights = ar.entmax15(README, ALL)
    np.testing.assert_allclose(weights, [0, 0.326008, 0.673992], atol=1e-5)
    # the same example in the README of the authors' package, deep-spin/entmax
    np.testing.assert_allclose(weights, [0, 0.3260, 0.6740], atol=1e-4)


def test_attention_softmax_by_hand():
    # e^ln3 = 3, so 3 / 4 and 1 / 4; the masked position does not count
    weights = ar.softmax([math.log(3), 0.0, 99.0], [True, True, False])
    np.testing.assert_allclose(weights, [0.75, 0.25, 0], atol=1e-12)


@pytest.mark.parametrize("normalizer", [*ar.NORMALIZERS.values(), ar.projected_on_simplex])
def test_normalizers_give_equal_scores_equal_weights_and_masked_rows_none(normalizer):
    np.testing.assert_allclose(normalizer([7.0, 7.0, 9.0], [1, 1, 0]), [0.5, 0.5, 0], atol=1e-12)
    np.testing.assert_allclose(normalizer([7.0, -math.inf, 7.0], ALL), [0.5, 0, 0.5], atol=1e-12)
    assert not normalizer([1.0, 2.0], [False, False]).any()
    assert not normalizer([-math.inf, -math.inf], [True, True]).any()


def test_attention_sparsemax_is_the_projection_on_the_simplex():
    rng = np.random.default_rng(0)
    for size in range(1, 9):
        scores = list(rng.normal(scale=2, size=size))
        mask = [bool(each) for each in rng.integers(0, 2, size=size)]
        np.testing.assert_allclose(
            ar.sparsemax(scores, mask), ar.projected_on_simplex(scores, mask), atol=1e-12
        )


# Scopes


def test_attention_local_m_by_hand():
    mask = [True, True, True, True, False]  # S = 4
    # t = 2, D = 1: positions 1 to 3
    assert ar.local_m(2, mask, reach=1).inside == [True, True, True, False, False]
    # t = 9 is beyond the last word: p = 4, positions 3 to 5, of which 5 is padding
    window = ar.local_m(9, mask, reach=1)
    assert window.inside == [False, False, True, True, False]
    assert (window.factor == 1).all()


def test_attention_local_p_by_hand():
    # tanh(0) = 0, sig(0) = 1/2, S = 4: p = 2; D = 2, sigma = 1: e^-1/2, 1, e^-1/2, e^-2
    window = ar.local_p(vector(0), [True] * 4 + [False], reach=2, for_query=ONE, vector=vector(5))
    assert window.inside == [True, True, True, True, False]
    expected = [math.exp(-0.5), 1, math.exp(-0.5), math.exp(-2)]
    np.testing.assert_allclose(window.factor[:4], expected, atol=1e-12)
    # v tanh(W h) = ln 3 where tanh = 1/2: sig(ln 3) = 3/4, p = 3, D = 1: positions 2 to 4
    window = ar.local_p(
        vector(math.atanh(0.5)), [True] * 4, reach=1, for_query=ONE, vector=vector(2 * math.log(3))
    )
    assert np.argmax(window.factor) == 2
    assert window.factor[2] == pytest.approx(1.0)
    # one position away with sigma = 1/2: exp(-1 / (2 / 4)) = exp(-2)
    assert window.factor[1] == pytest.approx(math.exp(-2))


def test_attention_after_the_gaussian_does_not_sum_to_one():
    window = ar.Window([True, True, False], vector(1, 0.5, 1))
    context, weights = ar.attend(
        vector(0), np.zeros((3, 1)), vector(1, 10, 100).reshape(3, 1), fixed(2, 2, 2), window
    )
    # softmax in the window: 1/2, 1/2; times 1 and 1/2
    np.testing.assert_allclose(weights, [0.5, 0.25, 0], atol=1e-12)
    np.testing.assert_allclose(context, [0.5 + 2.5], atol=1e-12)


# Heads


def test_attention_of_two_heads_by_hand():
    w = {
        "W_Q": np.array([[[1.0]], [[0.0]]]),
        "W_K": np.array([[[math.log(3)]], [[1.0]]]),
        "W_V": np.array([[[1.0]], [[10.0]]]),
        "W_O": np.array([[1.0], [1.0]]),
    }
    dot = ar.each_key(ar.dot_score)
    everywhere = ar.global_window([True, True])
    keys, values = np.array([[1.0], [0.0]]), np.array([[4.0], [8.0]])
    context, weights = ar.multi_head(vector(1), keys, values, w, [dot, dot], [everywhere] * 2)
    # head 1: scores ln 3 and 0, weights 3/4 and 1/4, 3 + 2 = 5; head 2 has a query of zeros, 1/2
    # and 1/2 of 40 and 80 = 60; W_O adds the two
    np.testing.assert_allclose(weights, [[0.75, 0.25], [0.5, 0.5]], atol=1e-12)
    np.testing.assert_allclose(context, [65.0], atol=1e-12)


def test_attention_of_two_slices_by_hand():
    dot = ar.each_key(ar.dot_score)
    everywhere = ar.global_window([True, True])
    keys = np.array([[math.log(3), 5.0], [0.0, 5.0]])
    values = np.array([[4.0, 40.0], [8.0, 80.0]])
    context, _ = ar.multi_head(vector(1, 1), keys, values, {}, [dot, dot], [everywhere] * 2)
    # the first column: 3/4 and 1/4 of 4 and 8; the second: equal keys, half of 40 and 80
    np.testing.assert_allclose(context, [5.0, 60.0], atol=1e-12)


# Coverage


def test_attention_coverage_by_hand():
    # sig(0) = 1/2 of at most 4 words: fertility 2, so a weight of 1/2 adds 1/4
    phi = ar.fertility(vector(3, 0), vector=vector(0, 7), maximum=4)
    assert phi == pytest.approx(2.0)
    assert ar.linear_coverage(1.0, 0.5, phi) == pytest.approx(1.25)


def test_attention_coverage_by_a_gru_by_hand():
    # gates sig(0) = 1/2; n = tanh(a + 2 h + 3 s), so C' = C / 2 + n / 2
    inputs = np.array([[0.0, 0, 0], [0, 0, 0], [1, 2, 3]])
    w = CellWeights(inputs, np.zeros((3, 1)), np.zeros(3), np.zeros(3))
    found = ar.gru_coverage(vector(0.6), 0.5, vector(0.1), vector(-0.2), w)
    np.testing.assert_allclose(found, [0.3 + math.tanh(0.5 + 0.2 - 0.6) / 2], atol=1e-12)


def test_attention_coverage_enters_beside_the_mapped_key():
    query, key, covered, v = vector(3), vector(2), vector(0.5), np.array([[4.0]])
    kwargs = {"for_coverage": v}
    assert ar.covered_dot_score(query, key, covered, **kwargs) == 12  # 3 (2 + 2)
    # 3 (10 * 2 + 2)
    assert ar.covered_general_score(query, key, covered, matrix=np.array([[10.0]]), **kwargs) == 66
    expected = 5 * math.tanh(0.1 * 3 + 0.2 * 2 + 4 * 0.5)
    found = ar.covered_additive_score(
        query, key, covered, for_query=0.1 * ONE, for_key=0.2 * ONE, vector=vector(5), **kwargs
    )
    assert found == pytest.approx(expected)
    found = ar.covered_fixed_key_score(
        query, key, covered, for_query=0.1 * ONE, vector=vector(5), **kwargs
    )
    assert found == pytest.approx(5 * math.tanh(0.3 + 2 + 2))
    np.testing.assert_allclose(
        ar.covered_keys(np.array([[2.0]]), np.array([[0.5]]), matrix=v), [[4.0]]
    )


def test_attention_coverage_loss_by_hand():
    rows = [vector(0.7, 0.3), vector(0.5, 0.5), vector(0.1, 0.9), vector(1, 0)]
    # nothing before the first; min(.5, .7) + min(.5, .3) = .8; min(.1, 1.2) + min(.9, .8) = .9;
    # the fourth step is padding
    assert ar.coverage_loss(rows, [True, True, True, False]) == pytest.approx(1.7)


# Readouts


def test_maxout_takes_the_greater_of_neighbours():
    assert ar.maxout(vector(1, 5, 7, -2, 0, 0)).tolist() == [5, 7, 0]
