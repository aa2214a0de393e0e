"""Worked examples of greedy and beam search."""

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from seq2seq.search.beam import beam_search
from seq2seq.search.continuations import best_continuations
from seq2seq.search.greedy import greedy_search
from seq2seq.search.hypothesis import SearchStep
from seq2seq.search.penalties import length_divisor

BOS, EOS, A, B = range(4)


@dataclass(frozen=True)
class Rows:
    count: int

    def select(self, rows: Tensor, sentences: Tensor | None) -> "Rows":
        assert rows.dtype == torch.int64
        return Rows(len(rows))


def bigrams(table: dict[int, list[float]]):
    """A step function of probabilities: previous id -> probability of BOS, EOS, A, B."""

    def step(previous: Tensor, state: Rows) -> SearchStep[Rows]:
        assert len(previous) == state.count
        return SearchStep(torch.tensor([table[i] for i in previous.tolist()]).log(), None, state)

    return step


# Greedy takes A (0.6) and then cannot do better than 0.6 * 0.4; B EOS has 0.4 * 0.9 = 0.36.
GARDEN_PATH = {
    BOS: [0.0, 0.0, 0.6, 0.4],
    EOS: [0.0, 1.0, 0.0, 0.0],
    A: [0.0, 0.4, 0.3, 0.3],
    B: [0.0, 0.9, 0.05, 0.05],
}
OPTIONS = {"bos": BOS, "eos": EOS}


def test_the_penalty_is_that_of_wu_et_al():
    # by hand: ((5 + 7) / 6) ** 0.5 = sqrt 2
    assert length_divisor(7, alpha=0.5) == pytest.approx(math.sqrt(2))
    assert length_divisor(7, alpha=0.0) == 1.0
    assert length_divisor(1, alpha=0.6) == 1.0


def test_a_beam_of_two_finds_a_better_hypothesis_than_greedy_search():
    step = bigrams(GARDEN_PATH)
    (greedy,) = greedy_search(step, Rows(1), rows=1, max_lengths=[5], **OPTIONS)
    assert greedy.ids == (A, EOS)
    assert math.exp(greedy.log_probability) == pytest.approx(0.24)
    (found,) = beam_search(
        step, Rows(1), rows=1, beam=2, n_best=2, max_lengths=[5], length_penalty=0.0, **OPTIONS
    )
    assert [h.ids for h in found] == [(B, EOS), (A, EOS)]
    assert [math.exp(h.score) for h in found] == pytest.approx([0.36, 0.24])
    assert found[0].weights is None


def test_a_longer_hypothesis_may_still_win_after_the_first_has_ended():
    table = {
        BOS: [0.0, 0.55, 0.45, 0.0],
        EOS: [0.0, 1.0, 0.0, 0.0],
        A: [0.0, 1.0, 0.0, 0.0],
        B: [0.0, 1.0, 0.0, 0.0],
    }
    options = {"rows": 1, "beam": 2, "max_lengths": [2], **OPTIONS}
    ((plain,),) = beam_search(bigrams(table), Rows(1), length_penalty=0.0, **options)
    assert plain.ids == (EOS,)
    # by hand: log 0.55 / 1 = -0.598; log 0.45 / (7/6) ** 2 = -0.799 / 1.361 = -0.587
    ((long,),) = beam_search(bigrams(table), Rows(1), length_penalty=2.0, **options)
    assert long.ids == (A, EOS)
    assert long.score == pytest.approx(-0.5867, abs=1e-4)


def test_search_stops_as_soon_as_no_better_hypothesis_can_follow():
    steps = []

    def step(previous: Tensor, state: Rows) -> SearchStep[Rows]:
        steps.append(len(previous))
        return bigrams({i: [0.0, 0.9, 0.05, 0.05] for i in range(4)})(previous, state)

    beam_search(step, Rows(1), rows=1, beam=2, max_lengths=[50], length_penalty=0.0, **OPTIONS)
    assert steps == [1]  # one has 0.9; no unfinished hypothesis has more than 0.05
    steps.clear()
    beam_search(
        step, Rows(1), rows=1, beam=2, max_lengths=[50], n_best=2, length_penalty=0.0, **OPTIONS
    )
    assert steps == [1, 2]


def test_search_stops_after_as_many_finished_hypotheses_as_it_is_asked_to():
    table = {i: [0.0, 0.1, 0.5, 0.4] for i in range(4)}  # longer ones score higher
    options = {"rows": 1, "beam": 3, "max_lengths": [8], "length_penalty": 3.0, **OPTIONS}
    ((exact,),) = beam_search(bigrams(table), Rows(1), **options)
    ((stopped,),) = beam_search(bigrams(table), Rows(1), stop_after=1, **options)
    assert len(exact.ids) == 8 and len(stopped.ids) == 1
    with pytest.raises(ValueError, match="stop_after is -1"):
        beam_search(bigrams(table), Rows(1), stop_after=-1, **options)


def test_a_hypothesis_without_eos_is_cut_at_its_maximum_length():
    table = {i: [0.0, 0.0, 0.75, 0.25] for i in range(4)}
    (greedy,) = greedy_search(bigrams(table), Rows(1), rows=1, max_lengths=[3], **OPTIONS)
    assert greedy.ids == (A, A, A)
    found = beam_search(
        bigrams(table), Rows(2), rows=2, beam=3, n_best=3, max_lengths=[3, 1], **OPTIONS
    )
    assert found[0][0].ids == (A, A, A)
    assert [h.ids for h in found[1]] == [(A,), (B,)]  # no third exists


def test_forbidden_ids_are_never_written_and_keep_their_probability():
    table = {i: [0.5, 0.25, 0.25, 0.0] for i in range(4)}
    options = {"rows": 1, "max_lengths": [2], "forbidden": (BOS,), **OPTIONS}
    (greedy,) = greedy_search(bigrams(table), Rows(1), **options)
    assert greedy.ids == (EOS,)  # ties with A; the lowest id wins
    assert math.exp(greedy.log_probability) == pytest.approx(0.25)
    (found,) = beam_search(bigrams(table), Rows(1), beam=4, n_best=4, **options)
    assert {h.ids for h in found} == {(EOS,), (A, EOS), (A, A)}


def test_a_hypothesis_with_only_forbidden_continuations_is_cut():
    table = {BOS: [0.0, 0.0, 1.0, 0.0], A: [1.0, 0.0, 0.0, 0.0]}
    options = {"rows": 1, "max_lengths": [9], "forbidden": (BOS,), **OPTIONS}
    (greedy,) = greedy_search(bigrams(table), Rows(1), **options)
    ((found,),) = beam_search(bigrams(table), Rows(1), beam=2, **options)
    assert greedy == found
    assert found.ids == (A,)
    (empty,) = beam_search(bigrams({BOS: [1.0, 0.0, 0.0, 0.0]}), Rows(1), beam=2, **options)
    assert [h.ids for h in empty] == [()]


def test_ties_go_to_the_lowest_row_of_the_beam_and_then_to_the_lowest_id():
    even = {i: [0.25, 0.25, 0.25, 0.25] for i in range(4)}
    (found,) = beam_search(
        bigrams(even),
        Rows(1),
        rows=1,
        beam=3,
        n_best=3,
        max_lengths=[2],
        length_penalty=0.0,
        forbidden=(BOS,),
        **OPTIONS,
    )
    assert [h.ids for h in found] == [(EOS,), (A, EOS), (A, A)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("count", [1, 2, 5, 11, 12])
def test_of_equal_logits_the_lowest_ids_are_best(dtype, count):
    generator = torch.Generator().manual_seed(1)
    logits = torch.randint(0, 4, (200, 12), generator=generator).to(dtype)
    found = best_continuations(logits, count=count, forbidden=())
    expected = logits.sort(dim=1, descending=True, stable=True).indices[:, :count]
    assert torch.equal(found.ids, expected)


def test_log_probabilities_equal_log_softmax_even_for_bfloat16_logits():
    logits = torch.randn(50, 300, generator=torch.Generator().manual_seed(2)).bfloat16() * 4
    before = logits.clone()
    found = best_continuations(logits, count=7, forbidden=(3,))
    expected = logits.double().log_softmax(dim=1).gather(1, found.ids)
    expected[found.ids == 3] = float("-inf")
    torch.testing.assert_close(found.log_probabilities, expected, atol=1e-5, rtol=0)
    assert torch.equal(logits, before)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_logits_with_nan_or_infinity_are_refused(bad):
    def step(previous: Tensor, state: Rows) -> SearchStep[Rows]:
        return SearchStep(torch.tensor([[0.0, 1.0, bad, 0.0]]), None, state)

    with pytest.raises(ValueError, match="NaN"):
        greedy_search(step, Rows(1), rows=1, max_lengths=[3], **OPTIONS)
    with pytest.raises(ValueError, match="NaN"):
        beam_search(step, Rows(1), rows=1, beam=2, max_lengths=[3], **OPTIONS)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"beam": 0}, "beam is 0"),
        ({"n_best": 3}, "n_best is 3"),
        ({"length_penalty": -0.1}, "length_penalty is -0.1"),
        ({"length_penalty": math.nan}, "length_penalty is nan"),
        ({"max_lengths": [3, 3]}, "2 max_lengths for 1 rows"),
        ({"max_lengths": [0]}, "max_lengths has 0"),
    ],
)
def test_invalid_arguments_are_refused(wrong, message):
    options = {"rows": 1, "beam": 2, "max_lengths": [3], **OPTIONS} | wrong
    with pytest.raises(ValueError, match=message):
        beam_search(bigrams(GARDEN_PATH), Rows(1), **options)


def test_no_sentences_give_no_hypotheses():
    step = bigrams(GARDEN_PATH)
    assert greedy_search(step, Rows(0), rows=0, max_lengths=[], **OPTIONS) == []
    assert beam_search(step, Rows(0), rows=0, beam=2, max_lengths=[], **OPTIONS) == []
