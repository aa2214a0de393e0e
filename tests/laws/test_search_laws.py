"""Greedy and beam search compared with enumeration and with a beam search in plain Python."""

import itertools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from seq2seq.search.beam import beam_search
from seq2seq.search.greedy import greedy_search
from seq2seq.search.hypothesis import Hypothesis, SearchStep

BOS, EOS, PAD = 0, 1, 2
FORBIDDEN = (PAD, BOS)
OPTIONS: dict[str, Any] = {"bos": BOS, "eos": EOS, "forbidden": FORBIDDEN}

Logits = Callable[[int, tuple[int, ...]], list[float]]
"""Sentence and prefix -> logits over the vocabulary."""
Scored = tuple[float, tuple[int, ...]]
"""A score, and the ids that have it."""


@dataclass(frozen=True)
class Prefixes:
    """A state that carries each row's sentence and ids, so that a misplaced row is noticed."""

    sentences: Tensor  # [R]
    ids: Tensor  # [R, t] the previous ids of all steps before, BOS first

    def select(self, rows: Tensor, sentences: Tensor | None) -> "Prefixes":
        groups = self.sentences.unique_consecutive()
        left = groups if sentences is None else groups[sentences]
        selected = self.sentences[rows]  # each sentence that is left has as many rows
        assert torch.equal(selected, left.repeat_interleave(len(rows) // len(left)))
        return Prefixes(selected, self.ids[rows])


@dataclass
class TableModel:
    """A step function whose logits depend on every row's sentence and whole prefix."""

    logits: Logits
    steps: list[list[int]] = field(default_factory=list)  # the sentences of each step's rows

    def start(self, sentences: Sequence[int]) -> Prefixes:
        rows = torch.tensor(sentences, dtype=torch.int64)
        return Prefixes(rows, torch.zeros(len(sentences), 0, dtype=torch.int64))

    def step(self, previous: Tensor, state: Prefixes) -> SearchStep[Prefixes]:
        ids = torch.cat([state.ids, previous.unsqueeze(1)], dim=1)  # [R, t + 1]
        sentences = state.sentences.tolist()
        self.steps.append(sentences)
        prefixes = [tuple(row[1:]) for row in ids.tolist()]
        table = [self.logits(s, p) for s, p in zip(sentences, prefixes, strict=True)]
        weights = [attention(s, p) for s, p in zip(sentences, prefixes, strict=True)]
        return SearchStep(
            torch.tensor(table, dtype=torch.float64),
            torch.tensor(weights, dtype=torch.float64),
            Prefixes(state.sentences, ids),
        )

    def greedy(self, sentences: Sequence[int], **options: Any) -> list[Hypothesis]:
        return greedy_search(
            self.step, self.start(sentences), rows=len(sentences), **OPTIONS | options
        )

    def beam(self, sentences: Sequence[int], **options: Any) -> list[list[Hypothesis]]:
        return beam_search(
            self.step, self.start(sentences), rows=len(sentences), **OPTIONS | options
        )


def attention(sentence: int, prefix: tuple[int, ...]) -> list[float]:
    """Weights that identify the sentence, and the length and ids of the prefix."""
    number = sum(new * 16.0**position for position, new in enumerate(prefix))
    return [float(sentence), float(len(prefix)), number]


def bigram_logits(seed: int, vocabulary: int) -> Logits:
    """One table of bigrams for each step: with a single one, reordered sequences would tie."""
    rng = random.Random(seed)
    tables = [
        [[rng.gauss(0, 2) for _ in range(vocabulary)] for _ in range(vocabulary)] for _ in range(7)
    ]
    return lambda sentence, prefix: tables[len(prefix)][prefix[-1] if prefix else BOS]


def history_logits(seed: int, vocabulary: int) -> Logits:
    """Logits that depend on the sentence and every id of the prefix; EOS is often likely."""

    def logits(sentence: int, prefix: tuple[int, ...]) -> list[float]:
        rng = random.Random(f"{seed}:{sentence}:{prefix}")
        return [rng.gauss(0, 2) for _ in range(vocabulary)]

    return logits


def log_softmax(logits: list[float]) -> list[float]:
    largest = max(logits)
    total = math.log(math.fsum(math.exp(x - largest) for x in logits))
    return [x - largest - total for x in logits]


def penalised(log_probability: float, length: int, alpha: float) -> float:
    return log_probability / ((5 + length) / 6) ** alpha


def rescore(logits: Logits, sentence: int, ids: tuple[int, ...]) -> float:
    return math.fsum(log_softmax(logits(sentence, ids[:t]))[new] for t, new in enumerate(ids))


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
    logits: Logits, sentence: int, *, beam: int, limit: int, n_best: int, alpha: float
) -> list[Scored]:
    """The algorithm of `beam_search` in plain Python: one sentence, always up to `limit`."""
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


@given(tables, seeds, vocabularies, limits, alphas, st.integers(1, 5), st.data())
def test_stopping_early_changes_nothing(table, seed, vocabulary, limits, alpha, beam, data):
    n_best = data.draw(st.integers(1, beam))
    logits = table(seed, vocabulary)
    options = {"beam": beam, "n_best": n_best, "length_penalty": alpha}
    found = TableModel(logits).beam(range(len(limits)), max_lengths=limits, **options)
    for sentence, (hypotheses, limit) in enumerate(zip(found, limits, strict=True)):
        assert_equal(
            hypotheses,
            plain_beam(logits, sentence, beam=beam, limit=limit, n_best=n_best, alpha=alpha),
        )


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
