"""Alignment by hidden Markov models, against sums over all alignments and on known text."""

from itertools import product

import numpy as np
import pytest
from splits import split_of

from data import hmm_alignment
from data.hmm_alignment import NULL, forward_backward, learn_alignment
from data.possible_links import PossibleLinks

RNG = np.random.default_rng(1)


def summed_over_all(translation, null, transitions):
    """Posteriors and expected moves of one chain, from every sequence of states there is."""
    steps, states = translation.shape
    posteriors, moves, total = np.zeros((steps, states)), np.zeros((states, states)), 0.0
    choices = list(product(range(states), (True, False)))  # a state, and whether it is linked to
    for path in product(choices, repeat=steps):
        probability, before = 1 / states, None
        for step, (state, is_linked) in enumerate(path):
            if is_linked:
                probability *= (1 - NULL) * translation[step, state]
                probability *= 1 if before is None else transitions[before, state]
            else:
                probability *= NULL * null[step] * (before in (None, state))
            before = state
        total += probability
        for step, (state, is_linked) in enumerate(path):
            posteriors[step, state] += probability * is_linked
            if step and is_linked:
                moves[path[step - 1][0], state] += probability
    return posteriors / total, moves / total


def test_posteriors_are_those_of_a_sum_over_all_alignments():
    lengths = np.array([1, 3, 4])
    translation, null = RNG.uniform(0.1, 1, (3, 4, 3)), RNG.uniform(0.1, 1, (3, 4))
    transitions = RNG.dirichlet(np.ones(3), 3)
    found, moves = forward_backward(translation, null, lengths, transitions)
    expected_moves = np.zeros((3, 3))
    for chain, length in enumerate(lengths):
        expected, own_moves = summed_over_all(
            translation[chain, :length], null[chain, :length], transitions
        )
        assert found[chain, :length] == pytest.approx(expected, abs=1e-12)
        assert not found[chain, length:].any()
        expected_moves += own_moves
    assert moves == pytest.approx(expected_moves, abs=1e-12)


# 4 is 14, 5 is 15 and 6 is 16, which stands at the other end of its target
PAIRS = [
    ([4, 5], [14, 15]), ([5, 4], [15, 14]), ([6, 4], [14, 16]), ([4], [14]), ([5], [15]),
    ([6, 4, 5], [14, 15, 16]), ([6, 5], [15, 16]), ([5, 4, 5], [15, 14, 15]),
] * 4  # fmt: skip


def test_links_are_learnt_from_pairs_alone():
    split = split_of(*PAIRS)
    model = learn_alignment(split, source_vocabulary=10, target_vocabulary=20)
    possible, found = model.posteriors(split, np.arange(7))  # no piece stands twice in these
    for (source, target), probability in zip(ids_of(possible), found, strict=True):
        assert probability > 0.9 if target == source + 10 else probability < 0.1
    _, found = model.posteriors(split, np.array([7]))
    assert found.reshape(3, 3).argmax(axis=1).tolist() == [0, 1, 2]  # jumps tell equal pieces apart


def ids_of(possible: PossibleLinks):
    return zip(
        possible.source_ids[possible.source_tokens].tolist(),
        possible.target_ids[possible.target_tokens].tolist(),
        strict=True,
    )


def test_pairs_that_were_left_out_are_linked_too(monkeypatch):
    split = split_of(*PAIRS, ([4, 9], [14, 19]))  # 9 and 19 stand in no other pair
    monkeypatch.setattr(hmm_alignment, "_MAX_LINKS", 60)
    model = learn_alignment(split, source_vocabulary=10, target_vocabulary=20)
    _, found = model.posteriors(split, np.array([len(split) - 1]))
    assert found[0] > 0.8 and found[3] == 0


def test_neither_the_order_of_pairs_nor_their_company_changes_a_link(monkeypatch):
    split = split_of(*PAIRS)
    model = learn_alignment(split, source_vocabulary=10, target_vocabulary=20)
    alone = [model.posteriors(split, np.array([pair]))[1] for pair in range(8)]
    together = model.posteriors(split, np.arange(8)[::-1])[1]
    assert together == pytest.approx(np.concatenate(alone[::-1]), abs=1e-6)
    monkeypatch.setattr(hmm_alignment, "_MAX_CELLS", 1)
    assert model.posteriors(split, np.arange(8))[1] == pytest.approx(
        np.concatenate(alone), abs=1e-6
    )


def test_a_blank_side_has_no_links():
    split = split_of(*PAIRS, ([], [14]), ([4], []))
    model = learn_alignment(split, source_vocabulary=10, target_vocabulary=20)
    possible, found = model.posteriors(split, np.array([len(split) - 2, 0, len(split) - 1]))
    assert possible.begins.tolist() == [0, 0, 4] and len(found) == 4
