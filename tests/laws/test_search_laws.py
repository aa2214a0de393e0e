"""Laws of greedy and beam search, held against enumeration and against a beam in plain Python."""

import itertools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from seq2seq.search.beam import beam_search
from seq2seq.search.greedy import greedy_search
from seq2seq.search.hypothesis import Hypothesis, SearchStep

BOS, EOS, PAD = 0, 1, 2
FORBIDDEN = (PAD, BOS)

Logits = Callable[[int, tuple[int, ...]], list[float]]
"""Sentence and prefix -> logits over the vocabulary."""


@dataclass(frozen=True)
class Prefixes:
    """A state that carries all it was told, so that a row out of place is seen."""

    sentences: Tensor  # [R]
    ids: Tensor  # [R, t] what was read before this step, BOS first

    def select(self, rows: Tensor) -> "Prefixes":
        return Prefixes(self.sentences[rows], self.ids[rows])


@dataclass
class TableModel:
    """A step function that looks up every row by its sentence and its whole prefix."""

    logits: Logits
    seen: list[list[int]] = field(default_factory=list)  # the sentences of each step's rows

    def start(self, sentences: Sequence[int]) -> Prefixes:
        rows = torch.tensor(sentences, dtype=torch.int64)
        return Prefixes(rows, torch.zeros(len(sentences), 0, dtype=torch.int64))

    def step(self, previous: Tensor, state: Prefixes) -> SearchStep[Prefixes]:
        ids = torch.cat([state.ids, previous.unsqueeze(1)], dim=1)  # [R, t + 1]
        sentences = state.sentences.tolist()
        self.seen.append(sentences)
        prefixes = [tuple(row[1:]) for row in ids.tolist()]
        table = [self.logits(s, p) for s, p in zip(sentences, prefixes, strict=True)]
        weights = [attention(s, p) for s, p in zip(sentences, prefixes, strict=True)]
        return SearchStep(
            torch.tensor(table, dtype=torch.float64),
            torch.tensor(weights, dtype=torch.float64),
            Prefixes(state.sentences, ids),
        )


def attention(sentence: int, prefix: tuple[int, ...]) -> list[float]:
    """A row that tells sentence, length and ids of the prefix it was made from."""
    number = sum(new * 16.0**place for place, new in enumerate(prefix))
    return [float(sentence), float(len(prefix)), number]


def bigram_logits(seed: int, vocabulary: int) -> Logits:
    """A table of bigrams for every step; one for all would make reordered sequences tie."""
    chance = random.Random(seed)
    tables = [
        [[chance.gauss(0, 2) for _ in range(vocabulary)] for _ in range(vocabulary)]
        for _ in range(7)
    ]
    return lambda sentence, prefix: tables[len(prefix)][prefix[-1] if prefix else BOS]


def history_logits(seed: int, vocabulary: int) -> Logits:
    """Logits that depend on the sentence and every id of the prefix; EOS is often likely."""

    def look_up(sentence: int, prefix: tuple[int, ...]) -> list[float]:
        chance = random.Random(f"{seed}:{sentence}:{prefix}")
        return [chance.gauss(0, 2) for _ in range(vocabulary)]

    return look_up


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
) -> list[tuple[float, tuple[int, ...]]]:
    """Score and ids of every sequence that may be written, best first."""
    words = [i for i in range(vocabulary) if i not in (BOS, EOS, PAD)]
    found = []
    for length in range(limit + 1):
        for body in itertools.product(words, repeat=length):
            ids = body if length == limit else (*body, EOS)
            found.append((penalised(rescore(logits, sentence, ids), len(ids), alpha), ids))
    return sorted(found, reverse=True)


def plain_beam(
    logits: Logits, sentence: int, *, beam: int, limit: int, n_best: int, alpha: float
) -> list[tuple[float, tuple[int, ...]]]:
    """The scheme of `beam_search` in plain Python, one sentence, never stopped before `limit`."""
    living: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    done: list[tuple[float, tuple[int, ...]]] = []
    for length in range(1, limit + 1):
        candidates = sorted(
            (
                (total + gain, (*prefix, new))
                for total, prefix in living
                for new, gain in enumerate(log_softmax(logits(sentence, prefix)))
                if new not in FORBIDDEN
            ),
            reverse=True,
        )
        ended = [c for c in candidates[:beam] if c[1][-1] == EOS]
        living = [c for c in candidates if c[1][-1] != EOS][:beam] if len(ended) < beam else []
        over = ended + (living if length == limit else [])
        done += [(penalised(total, len(ids), alpha), ids) for total, ids in over]
    return sorted(done, reverse=True)[:n_best]


def agree(found: Sequence[Hypothesis], expected: Sequence[tuple[float, tuple[int, ...]]]) -> None:
    assert [h.ids for h in found] == [ids for _, ids in expected]
    assert [h.score for h in found] == pytest.approx([score for score, _ in expected], abs=1e-9)


seeds = st.integers(0, 2**32 - 1)
alphas = st.sampled_from([0.0, 0.3, 0.6, 1.0, 2.5])
vocabularies = st.integers(4, 6)
makers = st.sampled_from([bigram_logits, history_logits])
limits = st.lists(st.integers(1, 6), min_size=1, max_size=4)


@given(makers, seeds, vocabularies, limits, alphas)
def test_a_beam_of_one_is_greedy_search(maker, seed, vocabulary, limits, alpha):
    logits = maker(seed, vocabulary)
    model = TableModel(logits)
    options = {"rows": len(limits), "bos": BOS, "eos": EOS, "max_lengths": limits}
    options |= {"length_penalty": alpha, "forbidden": FORBIDDEN}
    greedy = greedy_search(model.step, model.start(range(len(limits))), **options)
    beam = beam_search(model.step, model.start(range(len(limits))), beam=1, **options)
    assert [[h] for h in greedy] == beam  # ids, log-probabilities and scores, digit for digit
    for one, (other,) in zip(greedy, beam, strict=True):
        assert torch.equal(one.weights, other.weights)


@given(makers, seeds, vocabularies, limits)
def test_greedy_search_takes_the_likeliest_id_each_time(maker, seed, vocabulary, limits):
    logits = maker(seed, vocabulary)
    model = TableModel(logits)
    found = greedy_search(
        model.step,
        model.start(range(len(limits))),
        rows=len(limits),
        bos=BOS,
        eos=EOS,
        max_lengths=limits,
        forbidden=FORBIDDEN,
    )
    for sentence, (hypothesis, limit) in enumerate(zip(found, limits, strict=True)):
        ids: tuple[int, ...] = ()
        while len(ids) < limit and EOS not in ids:
            row = logits(sentence, ids)
            ids = (
                *ids,
                max((i for i in range(vocabulary) if i not in FORBIDDEN), key=row.__getitem__),
            )
        assert hypothesis.ids == ids


@given(makers, seeds, st.integers(4, 5), st.integers(1, 4), alphas, st.integers(1, 6))
@settings(max_examples=40)
def test_a_wide_beam_finds_what_enumeration_finds(maker, seed, vocabulary, limit, alpha, n_best):
    logits = maker(seed, vocabulary)
    model = TableModel(logits)
    (found,) = beam_search(
        model.step,
        model.start([0]),
        rows=1,
        bos=BOS,
        eos=EOS,
        beam=vocabulary**limit,
        max_lengths=[limit],
        n_best=min(n_best, vocabulary**limit),
        length_penalty=alpha,
        forbidden=FORBIDDEN,
    )
    agree(found, enumerate_all(logits, 0, vocabulary, limit, alpha)[:n_best])


@given(makers, seeds, vocabularies, limits, alphas, st.integers(1, 5), st.data())
def test_stopping_early_changes_nothing(maker, seed, vocabulary, limits, alpha, beam, data):
    n_best = data.draw(st.integers(1, beam))
    logits = maker(seed, vocabulary)
    model = TableModel(logits)
    found = beam_search(
        model.step,
        model.start(range(len(limits))),
        rows=len(limits),
        bos=BOS,
        eos=EOS,
        beam=beam,
        max_lengths=limits,
        n_best=n_best,
        length_penalty=alpha,
        forbidden=FORBIDDEN,
    )
    for sentence, (hypotheses, limit) in enumerate(zip(found, limits, strict=True)):
        agree(
            hypotheses,
            plain_beam(logits, sentence, beam=beam, limit=limit, n_best=n_best, alpha=alpha),
        )


@given(makers, seeds, vocabularies, limits, alphas, st.integers(1, 5), st.data())
def test_every_hypothesis_keeps_what_it_reports(maker, seed, vocabulary, limits, alpha, beam, data):
    n_best = data.draw(st.integers(1, beam))
    logits = maker(seed, vocabulary)
    model = TableModel(logits)
    with torch.inference_mode():
        found = beam_search(
            model.step,
            model.start(range(len(limits))),
            rows=len(limits),
            bos=BOS,
            eos=EOS,
            beam=beam,
            max_lengths=limits,
            n_best=n_best,
            length_penalty=alpha,
            forbidden=FORBIDDEN,
        )
    for sentence, (hypotheses, limit) in enumerate(zip(found, limits, strict=True)):
        words = vocabulary - 3
        there_are = sum(words**length for length in range(limit + 1))
        assert len(hypotheses) == min(n_best, there_are)
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


@given(makers, seeds, vocabularies, limits, alphas, st.integers(1, 4), st.data())
def test_company_in_the_batch_changes_nothing(maker, seed, vocabulary, limits, alpha, beam, data):
    n_best = data.draw(st.integers(1, beam))
    logits = maker(seed, vocabulary)

    def search(sentences: list[int]) -> tuple[list[list[Hypothesis]], list[list[int]]]:
        model = TableModel(logits)
        found = beam_search(
            model.step,
            model.start(sentences),
            rows=len(sentences),
            bos=BOS,
            eos=EOS,
            beam=beam,
            max_lengths=[limits[s] for s in sentences],
            n_best=n_best,
            length_penalty=alpha,
            forbidden=FORBIDDEN,
        )
        return found, model.seen

    order = data.draw(st.permutations(range(len(limits))))
    together, seen = search(list(order))
    for place, sentence in enumerate(order):
        (alone,), seen_alone = search([sentence])
        agree(together[place], [(h.score, h.ids) for h in alone])
        # and it is given no step that it would not have had alone
        assert sum(sentence in rows for rows in seen) == len(seen_alone)


@given(makers, seeds, vocabularies, limits)
def test_greedy_search_gives_the_finished_no_more_steps(maker, seed, vocabulary, limits):
    model = TableModel(maker(seed, vocabulary))
    found = greedy_search(
        model.step,
        model.start(range(len(limits))),
        rows=len(limits),
        bos=BOS,
        eos=EOS,
        max_lengths=limits,
        forbidden=FORBIDDEN,
    )
    for t, rows in enumerate(model.seen):
        assert rows == [i for i, h in enumerate(found) if len(h.ids) > t]
