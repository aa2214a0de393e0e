"""Constraints by brute force: a wide beam finds exactly the sequences that satisfy them."""

import itertools
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from tables import BOS, EOS, PAD, TableModel, history_logits, rescore

from seq2seq.search.constraints import (
    BannedWords,
    Constraint,
    ForcedPrefix,
    ForcedText,
    MaximumLength,
    MinimumLength,
    NoRepeatedNgram,
    Vocabulary,
)
from seq2seq.search.hypothesis import Hypothesis
from seq2seq.search.required import RequiredPhrases, contains

Ids = tuple[int, ...]
Holds = Callable[[Ids, str], bool]
"""Whether a constraint holds, of the ids without EOS and their text."""

LIMIT = 4  # ids, EOS included
PIECES = (" a", "a", "b", " b", "ab", "-", " ab", " a-b", "b a", "a b ", "ä", " ä–")


def vocabulary_of(pieces: Sequence[str]) -> list[bytes]:
    return [b"", b"", b"", *(piece.encode() for piece in pieces)]  # BOS, EOS and PAD are no text


def written(ids: Ids, spellings: Sequence[bytes]) -> str:
    return b"".join(spellings[number] for number in ids).decode()


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def all_that_hold(spellings: Sequence[bytes], holds: Holds) -> set[Ids]:
    """Every sequence with EOS, of up to LIMIT ids, of which it holds."""
    inner = range(3, len(spellings))
    bodies = itertools.chain.from_iterable(
        itertools.product(inner, repeat=length) for length in range(LIMIT)
    )
    return {(*body, EOS) for body in bodies if holds(body, written(body, spellings))}


def ended(hypotheses: Sequence[Hypothesis]) -> list[Ids]:
    return [each.ids for each in hypotheses if each.ids and each.ids[-1] == EOS]


@st.composite
def constraints(draw: st.DrawFn, spellings: Sequence[bytes]) -> tuple[Constraint, Holds]:
    some_words = st.frozensets(
        st.sampled_from(["a", "b", "ab", "ba", "aab", "bab", "ä", "aä"]), min_size=1
    )
    name = draw(
        st.sampled_from(["length", "most", "ngram", "banned", "vocabulary", "prefix", "text"])
    )
    if name == "length":
        least = draw(st.integers(0, LIMIT - 1))
        return MinimumLength([least], EOS), lambda ids, text: len(ids) >= least
    if name == "most":
        most = draw(st.integers(0, LIMIT - 1))
        return MaximumLength(most, EOS), lambda ids, text: len(ids) <= most
    if name == "ngram":
        n = draw(st.integers(1, 3))
        return (
            NoRepeatedNgram(n),
            lambda ids, text: (
                len({ids[i : i + n] for i in range(len(ids) - n + 1)}) == max(len(ids) - n + 1, 0)
            ),
        )
    if name == "banned":
        banned = draw(some_words)
        return (
            BannedWords(banned, spellings, EOS),
            lambda ids, text: (
                not any(
                    banned & {*words(written(ids[:end], spellings))} for end in range(len(ids) + 1)
                )
            ),
        )
    if name == "vocabulary":
        known = draw(some_words)
        return Vocabulary(known, spellings, EOS), lambda ids, text: known >= {*words(text)}
    inner = range(3, len(spellings))
    forced = tuple(draw(st.lists(st.sampled_from(inner), max_size=2)))
    if name == "prefix":
        return (
            ForcedPrefix([ForcedText(forced)], spellings, EOS),
            lambda ids, text: ids[: len(forced)] == forced,
        )
    rest = written(tuple(draw(st.lists(st.sampled_from(inner), min_size=1, max_size=2))), spellings)
    rest = rest[: draw(st.integers(1, len(rest)))]
    return (
        ForcedPrefix([ForcedText(forced, rest.encode())], spellings, EOS),
        lambda ids, text: (
            ids[: len(forced)] == forced
            and (
                text.startswith(written(forced, spellings) + rest)
                or (rest == " " and ids == forced)
            )
        ),
    )


pieces = st.lists(st.sampled_from(PIECES), min_size=3, max_size=4, unique=True)


@given(st.integers(0, 2**32), pieces, st.data())
@examples(25)
def test_a_wide_beam_finds_exactly_what_the_constraints_allow(seed, pieces, data):
    spellings = vocabulary_of(pieces)
    (one, holds), (other, holds_too) = (
        data.draw(constraints(spellings)),
        data.draw(constraints(spellings)),
    )
    logits, beam = history_logits(seed, len(spellings)), (len(spellings) - 3) ** LIMIT + 100
    (found,) = TableModel(logits).beam(
        [0], beam=beam, n_best=beam, max_lengths=[LIMIT], constraints=[one, other]
    )
    expected = all_that_hold(spellings, lambda ids, text: holds(ids, text) and holds_too(ids, text))
    assert sorted(ended(found)) == sorted(expected)
    for each in found:  # the log-probability stays the model's own
        assert each.log_probability == pytest.approx(rescore(logits, 0, each.ids), abs=1e-9)


def uniforms(seed: int, rows: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(rows, 9, generator=generator, dtype=torch.float64)


@given(st.integers(0, 2**32), pieces, st.integers(1, 4), st.data())
def test_constraints_hold_in_every_hypothesis(seed, pieces, beam, data):
    spellings = vocabulary_of(pieces)
    constraint, holds = data.draw(constraints(spellings))
    model = TableModel(history_logits(seed, len(spellings)))
    options: dict[str, Any] = {"max_lengths": [9], "constraints": [constraint]}
    (found,) = model.beam([0], beam=beam, n_best=beam, **options)
    (greedy,) = model.greedy([0], **options)
    samples = model.samples([0] * 5, uniforms(seed, 5), **options | {"max_lengths": [9] * 5})
    assert model.beam([0], beam=1, **options) == [[greedy]]
    for ids in ended([*found, greedy, *samples]):
        assert holds(ids[:-1], written(ids[:-1], spellings))
        assert not {BOS, PAD} & {*ids}


@given(st.integers(0, 2**32), pieces, st.data())
@examples(30)
def test_a_constraint_is_that_of_its_own_sentence(seed, pieces, data):
    spellings = vocabulary_of(pieces)
    inner = st.lists(st.sampled_from(range(3, len(spellings))), max_size=2)
    forced = [None, *(ForcedText(tuple(data.draw(inner))) for _ in range(2))]
    least = data.draw(st.lists(st.integers(0, 4), min_size=3, max_size=3))
    options: dict[str, Any] = {
        "constraints": [ForcedPrefix(forced, spellings, EOS), MinimumLength(least, EOS)],
        "max_lengths": [6] * 3,
    }
    model = TableModel(history_logits(seed, len(spellings)))
    found = model.beam(range(3), beam=4, n_best=2, **options)
    grouped = model.beam(range(3), beam=4, n_best=2, groups=2, diversity=0.5, **options)
    for results in (found, grouped):
        for hypotheses, prefix, length in zip(results, forced, least, strict=True):
            for ids in ended(hypotheses):
                assert len(ids) > length
                assert prefix is None or ids[: len(prefix.ids)] == prefix.ids


def test_constraints_behind_a_prefix_hold_from_its_end_on():
    spellings = vocabulary_of(["a", "b"])
    prefix = ForcedPrefix([ForcedText((3, 3))], spellings, EOS, (NoRepeatedNgram(1),))
    (found,) = TableModel(history_logits(1, 5)).beam(
        [0], beam=20, n_best=20, max_lengths=[5], constraints=[prefix]
    )
    assert sorted(ended(found)) == [(3, 3, EOS), (3, 3, 4, EOS)]


def plainly_required(phrases: Sequence[Ids], spellings: Sequence[bytes]) -> Holds:
    """Whether all phrases are there, and no piece goes on with the word that one ends in."""

    def holds(ids: Ids, text: str) -> bool:
        ends = {phrase: [] for phrase in phrases}
        for phrase, begin in itertools.product(phrases, range(len(ids))):
            if ids[begin : begin + len(phrase)] == phrase:
                ends[phrase].append(begin + len(phrase))
        follow = [ids[end] for found in ends.values() for end in found if end < len(ids)]
        return all(ends.values()) and not any(
            re.match(r"\w", spellings[number].decode()) for number in follow
        )

    return holds


def required_phrases(spellings: Sequence[bytes]) -> st.SearchStrategy[tuple[Ids, ...]]:
    """One or two, each of a piece that begins a word and perhaps one more; none in another."""
    numbers = range(3, len(spellings))
    first = st.sampled_from([number for number in numbers if spellings[number][:1] == b" "])
    more = st.lists(st.sampled_from(numbers), max_size=1)
    phrase = st.builds(lambda begin, rest: (begin, *rest), first, more)
    several = st.lists(phrase, min_size=1, max_size=2, unique=True).map(tuple)
    return several.filter(
        lambda them: not any(contains(one, other) for one, other in itertools.permutations(them, 2))
    )


@given(st.integers(0, 2**32), pieces, st.data())
@examples(40)
def test_a_wide_beam_finds_exactly_what_has_all_required_phrases(seed, pieces, data):
    spellings = vocabulary_of([" c", *pieces])
    phrases = data.draw(required_phrases(spellings))
    required = RequiredPhrases(phrases, [LIMIT], spellings, EOS)
    logits, beam = history_logits(seed, len(spellings)), (len(spellings) - 3) ** LIMIT + 100
    options = {"max_lengths": [LIMIT], "constraints": [required], "required": required}
    (found,) = TableModel(logits).beam([0], beam=beam, n_best=beam, **options)
    expected = all_that_hold(spellings, plainly_required(phrases, spellings))
    if len(phrases) == 1:
        assert {*ended(found)} == expected
    else:  # of two, the last steps have one order alone
        assert {*ended(found)} <= expected
    scores = [each.score for each in found]
    assert scores == sorted(scores, reverse=True)


@given(st.integers(0, 2**32), pieces, st.integers(2, 5), st.data())
@examples(60)
def test_a_narrow_beam_finds_every_required_phrase_before_its_last_steps(seed, pieces, beam, data):
    spellings = vocabulary_of([" c", *pieces])
    phrases = data.draw(required_phrases(spellings))
    limits = [20, 25]
    required = RequiredPhrases(phrases, limits, spellings, EOS)
    options = {"max_lengths": limits, "constraints": [required], "required": required}
    model = TableModel(history_logits(seed, len(spellings)))
    for hypotheses in model.beam(range(2), beam=beam, **options):
        best = hypotheses[0].ids
        if best[-1] == EOS:
            assert all(contains(best, phrase) for phrase in phrases)
            assert len(best) < 20  # they were not put off until the end
