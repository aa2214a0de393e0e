"""Greedy and beam search compared with enumeration and with a beam search in plain Python."""

import itertools
import math
from collections.abc import Sequence

import pytest
import torch
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from tables import (
    BOS,
    EOS,
    FORBIDDEN,
    PAD,
    Logits,
    Scored,
    TableModel,
    attention,
    bigram_logits,
    history_logits,
    log_softmax,
    penalised,
    rescore,
    soft_attention,
)

from seq2seq.search.hypothesis import Hypothesis


def enumerate_all(
    logits: Logits, sentence: int, vocabulary: int, limit: int, alpha: float
) -> list[Scored]:
    """Score and ids of every sequence that may be written, best first."""
    inner = [i for i in range(vocabulary) if i not in (BOS, EOS, PAD)]
    found = []
    for length in range(limit + 1):
        for body in itertools.product(inner, repeat=length):
            ids = body if length == limit else (*body, EOS)
            found.append((penalised(rescore(logits, sentence, ids), len(ids), alpha), ids))
    return sorted(found, reverse=True)


def plain_beam(
    logits: Logits,
    sentence: int,
    *,
    beam: int,
    limit: int,
    n_best: int,
    alpha: float,
    stop_after: int = 0,
) -> list[Scored]:
    """The algorithm of `beam_search` in plain Python: one sentence, up to `limit` or to the step in
    which the number of finished hypotheses reaches `stop_after`."""
    unfinished: list[Scored] = [(0.0, ())]
    finished: list[Scored] = []
    for length in range(1, limit + 1):
        candidates = sorted(
            (
                (total + gain, (*prefix, new))
                for total, prefix in unfinished
                for new, gain in enumerate(log_softmax(logits(sentence, prefix)))
                if new not in FORBIDDEN
            ),
            reverse=True,
        )
        ended = [c for c in candidates[:beam] if c[1][-1] == EOS]
        unfinished = [c for c in candidates if c[1][-1] != EOS][:beam] if len(ended) < beam else []
        over = ended + (unfinished if length == limit else [])
        finished += [(penalised(total, len(ids), alpha), ids) for total, ids in over]
        if stop_after and len(finished) >= stop_after:
            break
    return sorted(finished, reverse=True)[:n_best]


def assert_equal(found: Sequence[Hypothesis], expected: Sequence[Scored]) -> None:
    assert [h.ids for h in found] == [ids for _, ids in expected]
    assert [h.score for h in found] == pytest.approx([score for score, _ in expected], abs=1e-9)


seeds = st.integers(0, 2**32 - 1)
alphas = st.sampled_from([0.0, 0.3, 0.6, 1.0, 2.5])
vocabularies = st.integers(4, 6)
tables = st.sampled_from([bigram_logits, history_logits])
limits = st.lists(st.integers(1, 6), min_size=1, max_size=4)


@given(tables, seeds, vocabularies, limits, alphas)
def test_a_beam_of_one_is_greedy_search(table, seed, vocabulary, limits, alpha):
    model, sentences = TableModel(table(seed, vocabulary)), range(len(limits))
    greedy = model.greedy(sentences, max_lengths=limits, length_penalty=alpha)
    beam = model.beam(sentences, beam=1, max_lengths=limits, length_penalty=alpha)
    assert [[h] for h in greedy] == beam  # ids, log-probabilities and scores, digit for digit
    for one, (other,) in zip(greedy, beam, strict=True):
        assert torch.equal(one.weights, other.weights)


@given(tables, seeds, vocabularies, limits)
def test_greedy_search_takes_the_likeliest_id_each_time(table, seed, vocabulary, limits):
    logits = table(seed, vocabulary)
    allowed = [i for i in range(vocabulary) if i not in FORBIDDEN]
    found = TableModel(logits).greedy(range(len(limits)), max_lengths=limits)
    for sentence, (hypothesis, limit) in enumerate(zip(found, limits, strict=True)):
        ids: tuple[int, ...] = ()
        while len(ids) < limit and EOS not in ids:
            ids = (*ids, max(allowed, key=logits(sentence, ids).__getitem__))
        assert hypothesis.ids == ids


@given(tables, seeds, vocabularies, limits)
def test_greedy_search_runs_no_step_for_a_finished_sentence(table, seed, vocabulary, limits):
    model = TableModel(table(seed, vocabulary))
    found = model.greedy(range(len(limits)), max_lengths=limits)
    for t, rows in enumerate(model.steps):
        assert rows == [i for i, h in enumerate(found) if len(h.ids) > t]


@given(tables, seeds, st.integers(4, 5), st.integers(1, 4), alphas, st.integers(1, 6))
@examples(20)
def test_a_wide_beam_finds_what_enumeration_finds(table, seed, vocabulary, limit, alpha, n_best):
    logits, beam = table(seed, vocabulary), vocabulary**limit
    options = {"n_best": min(n_best, beam), "length_penalty": alpha}
    (found,) = TableModel(logits).beam([0], beam=beam, max_lengths=[limit], **options)
    assert_equal(found, enumerate_all(logits, 0, vocabulary, limit, alpha)[:n_best])


DIVISORS = {
    "wu": lambda length, alpha: ((5 + length) / 6) ** alpha,
    "average": lambda length, alpha: length**alpha,
    "none": lambda length, alpha: 1.0,
}


def covered_score(
    logits: Logits, ids: tuple[int, ...], normalization: str, alpha: float, beta: float
) -> float:
    """Wu et al. (2016), equation 14, with `soft_attention`."""
    rows = [soft_attention(0, ids[:t]) for t in range(len(ids))]
    penalty = sum(math.log(min(sum(column), 1.0)) for column in zip(*rows, strict=True))
    total = rescore(logits, 0, ids) / DIVISORS[normalization](len(ids), alpha)
    return total + (beta * penalty if beta else 0.0)


@given(
    seeds,
    st.integers(4, 5),
    st.integers(1, 4),
    alphas,
    st.sampled_from([0.0, 0.2, 3.0]),
    st.sampled_from([*DIVISORS]),
    st.integers(1, 6),
)
@examples(40)
def test_a_wide_beam_finds_the_highest_score_of_all_under_any_penalty(
    seed, vocabulary, limit, alpha, beta, normalization, n_best
):
    logits, beam = history_logits(seed, vocabulary), vocabulary**limit
    n_best = min(n_best, beam)
    (found,) = TableModel(logits, soft_attention).beam(
        [0],
        beam=beam,
        n_best=n_best,
        max_lengths=[limit],
        length_penalty=alpha,
        length_normalization=normalization,
        coverage_weight=beta,
        positions=torch.ones(1, 3),
    )
    sequences = [ids for _, ids in enumerate_all(logits, 0, vocabulary, limit, alpha)]
    scored = [(covered_score(logits, ids, normalization, alpha, beta), ids) for ids in sequences]
    assert_equal(found, sorted(scored, reverse=True)[:n_best])


def plain_diverse_beam(
    logits: Logits, sentence: int, *, width: int, groups: int, diversity: float, limit: int
) -> list[Scored]:
    """Algorithm 1 of Vijayakumar et al. (2018) with Hamming diversity; all that it finishes."""
    unfinished: list[list[Scored]] = [[(0.0, ())] for _ in range(groups)]
    finished: dict[tuple[int, ...], float] = {}
    for length in range(1, limit + 1):
        written: list[int] = []  # ids of this step, by earlier groups
        for group in range(groups):
            candidates = sorted(
                (
                    (total + gain - diversity * written.count(new), total + gain, (*prefix, new))
                    for total, prefix in unfinished[group]
                    for new, gain in enumerate(log_softmax(logits(sentence, prefix)))
                    if new not in FORBIDDEN
                ),
                key=lambda each: -each[0],
            )
            ended = [each[1:] for each in candidates[:width] if each[2][-1] == EOS]
            others = [each[1:] for each in candidates if each[2][-1] != EOS][:width]
            unfinished[group] = others if len(ended) < width else []
            if length == limit:
                ended, unfinished[group] = ended + unfinished[group], []
            written += [ids[-1] for _, ids in unfinished[group]]
            finished |= {ids: penalised(total, len(ids), 0.0) for total, ids in ended}
    return sorted(((score, ids) for ids, score in finished.items()), reverse=True)


@given(seeds, vocabularies, st.lists(st.integers(1, 5), min_size=1, max_size=3), st.data())
def test_groups_search_as_in_algorithm_1(seed, vocabulary, limits, data):
    width, groups = data.draw(st.integers(1, 3)), data.draw(st.integers(2, 3))
    diversity = data.draw(st.sampled_from([0.0, 0.3, 1.0, 10.0]))
    n_best = data.draw(st.integers(1, width))
    logits, beam = history_logits(seed, vocabulary), width * groups
    found = TableModel(logits).beam(
        range(len(limits)),
        beam=beam,
        n_best=n_best,
        groups=groups,
        diversity=diversity,
        max_lengths=limits,
        length_penalty=0.0,
    )
    for sentence, (hypotheses, limit) in enumerate(zip(found, limits, strict=True)):
        options = {"width": width, "groups": groups, "diversity": diversity, "limit": limit}
        assert_equal(hypotheses, plain_diverse_beam(logits, sentence, **options)[:n_best])


@given(tables, seeds, vocabularies, limits, alphas)
def test_groups_without_diversity_find_what_one_group_finds(table, seed, vocabulary, limits, alpha):
    model = TableModel(table(seed, vocabulary))
    options = {"max_lengths": limits, "length_penalty": alpha}
    one = model.beam(range(len(limits)), beam=2, n_best=2, **options)
    three = model.beam(range(len(limits)), beam=6, n_best=2, groups=3, **options)
    for ours, theirs in zip(three, one, strict=True):
        assert_equal(ours, [(each.score, each.ids) for each in theirs])


@given(tables, seeds, vocabularies, limits, alphas, st.integers(1, 5), st.data())
def test_a_search_ends_where_its_rule_says_and_finds_what_the_plain_one_finds(
    table, seed, vocabulary, limits, alpha, beam, data
):
    n_best = data.draw(st.integers(1, beam))
    logits = table(seed, vocabulary)
    options = {"beam": beam, "n_best": n_best, "stop_after": data.draw(st.integers(0, 6))}
    found = TableModel(logits).beam(
        range(len(limits)), max_lengths=limits, length_penalty=alpha, **options
    )
    for sentence, (hypotheses, limit) in enumerate(zip(found, limits, strict=True)):
        expected = plain_beam(logits, sentence, limit=limit, alpha=alpha, **options)
        assert_equal(hypotheses, expected)


@given(tables, seeds, vocabularies, limits, alphas, st.integers(1, 5), st.data())
def test_every_hypothesis_is_what_it_reports(table, seed, vocabulary, limits, alpha, beam, data):
    n_best = data.draw(st.integers(1, beam))
    logits = table(seed, vocabulary)
    options = {"beam": beam, "n_best": n_best, "length_penalty": alpha}
    with torch.inference_mode():
        found = TableModel(logits).beam(range(len(limits)), max_lengths=limits, **options)
    for sentence, (hypotheses, limit) in enumerate(zip(found, limits, strict=True)):
        inner = vocabulary - 3  # ids other than BOS, EOS and PAD
        possible = sum(inner**length for length in range(limit + 1))
        assert len(hypotheses) == min(n_best, possible)
        assert len({h.ids for h in hypotheses}) == len(hypotheses)
        scores = [h.score for h in hypotheses]
        assert scores == sorted(scores, reverse=True)
        for h in hypotheses:
            assert not set(h.ids) & set(FORBIDDEN)
            assert EOS not in h.ids[:-1]
            assert h.ids[-1] == EOS or len(h.ids) == limit
            assert len(h.ids) <= limit
            assert h.log_probability <= 0
            assert h.log_probability == pytest.approx(rescore(logits, sentence, h.ids), abs=1e-9)
            assert h.score == pytest.approx(penalised(h.log_probability, len(h.ids), alpha))
            assert h.weights.tolist() == [attention(sentence, h.ids[:t]) for t in range(len(h.ids))]


@given(tables, seeds, vocabularies, limits, alphas, st.integers(1, 4), st.data())
def test_other_sentences_of_the_batch_change_nothing(
    table, seed, vocabulary, limits, alpha, beam, data
):
    n_best = data.draw(st.integers(1, beam))
    logits = table(seed, vocabulary)

    def search(sentences: list[int]) -> tuple[list[list[Hypothesis]], list[list[int]]]:
        model, lengths = TableModel(logits), [limits[s] for s in sentences]
        options = {"beam": beam, "n_best": n_best, "length_penalty": alpha}
        return model.beam(sentences, max_lengths=lengths, **options), model.steps

    order = data.draw(st.permutations(range(len(limits))))
    together, steps = search(list(order))
    for position, sentence in enumerate(order):
        (alone,), steps_alone = search([sentence])
        assert_equal(together[position], [(h.score, h.ids) for h in alone])
        # and the sentence is in no step that it would not have had alone
        assert sum(sentence in rows for rows in steps) == len(steps_alone)
