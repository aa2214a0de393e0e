"""Beam search over a batch of sentences, stopped only when nothing better can come."""

from bisect import insort_right
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from seq2seq.search.hypothesis import (
    Continuations,
    Hypothesis,
    State,
    StepFunction,
    best_continuations,
    check_bounds,
    check_numbers,
)
from seq2seq.search.penalties import check_alpha, length_divisor


@torch.no_grad()
def beam_search(
    step: StepFunction[State],
    state: State,
    *,
    rows: int,
    bos: int,
    eos: int,
    beam: int,
    max_lengths: Sequence[int],
    n_best: int = 1,
    length_penalty: float = 0.6,
    forbidden: Sequence[int] = (),
    device: torch.device | str = "cpu",
) -> list[list[Hypothesis]]:
    """The best hypotheses of each sentence, best first, for a state with one row a sentence.

    At every step the continuations of a sentence are ranked by log-probability. EOS among the
    first `beam` of them ends a hypothesis; the first `beam` others live on. So an ending takes no
    place from the living, and none is kept that a beam of this width would not have held. If the
    first `beam` are all endings the beam is full of them and the sentence is over; with a beam of 1
    this is greedy search, whatever the penalty.

    A sentence stops when its `n_best` kept endings all score at least as high as the bound of
    `length_divisor` on what any living hypothesis can become: going on would change nothing.

    `max_lengths[i]` bounds the ids of sentence i, EOS included; hypotheses that live until then are
    cut and ranked as they are, without EOS. `forbidden` ids (BOS, PAD) are never written, and
    log-probabilities stay the model's own, not shared out again over the other ids; a hypothesis
    with all its mass on them is cut there. `n_best` hypotheses are returned if there are so many.

    Ties: earlier endings before later ones, lower places in the beam before higher, then lower ids.
    """
    check_bounds(rows, max_lengths)
    check_alpha(length_penalty)
    if beam < 1:
        raise ValueError(f"beam is {beam}; 1 is greedy search")
    if not 1 <= n_best <= beam:
        raise ValueError(f"n_best is {n_best}; a beam of {beam} gives 1 to {beam} hypotheses")
    history, endings = _History(), _Endings(rows, n_best)
    sentences = torch.arange(rows)  # [B] the sentence of each group of rows still searched
    room = torch.tensor(max_lengths, dtype=torch.int64)  # [B]
    reach = torch.tensor(
        [length_divisor(n, alpha=length_penalty) for n in max_lengths], dtype=torch.float64
    )  # [B] the divisor at the longest length
    totals = torch.zeros(rows, 1, dtype=torch.float64)  # [B, K] nats; -inf where no one lives
    previous = torch.full((rows,), bos, device=device)  # [B * K]
    length = 0
    while len(sentences):
        made = step(previous, state)
        best = best_continuations(made.logits, count=beam + 1, forbidden=forbidden)
        gains = _gains(best, totals)  # [B, K, C]
        own = torch.arange(totals.numel()).reshape_as(totals)  # [B, K] rows

        stuck = (totals > float("-inf")) & (gains.amax(dim=-1) == float("-inf"))  # [B, K]
        scores = totals / length_divisor(length, alpha=length_penalty)  # [B, K]
        endings.add(stuck, sentences, scores, totals, length, own)

        ranked, order = (totals.unsqueeze(-1) + gains).flatten(1).sort(descending=True, stable=True)
        ranked, order = ranked[:, : 2 * beam], order[:, : 2 * beam]  # [B, 2K]
        origin = own.gather(1, order // gains.shape[-1])  # [B, 2K] rows
        ids = best.ids.reshape(len(sentences), -1).gather(1, order)  # [B, 2K]
        last = (room == length + 1).unsqueeze(1)  # [B, 1]
        ends, lives = _split_finished(ranked, ids, eos=eos, beam=beam, last=last)  # [B, 2K]
        scores = ranked / length_divisor(length + 1, alpha=length_penalty)  # [B, 2K]
        endings.add(ends, sentences, scores, ranked, length, origin, ids)

        places = _first(lives)  # [B, K]
        totals = ranked.gather(1, places).masked_fill(~lives.gather(1, places), float("-inf"))
        # A sentence goes on while its best, the first, may still become better than what is kept.
        stays = (totals[:, :1] / reach.unsqueeze(1) > endings.worst(sentences)).any(dim=1)  # [B]
        parents = origin.gather(1, places)[stays].flatten()  # [B' * K]
        written = ids.gather(1, places)[stays].flatten()  # [B' * K]
        history.add(parents, written, made.weights)
        sentences, room, reach, totals = (x[stays] for x in (sentences, room, reach, totals))
        length += 1
        if len(sentences):
            state = made.state.select(parents.to(made.logits.device))
            previous = written.to(made.logits.device)
    return history.hypotheses(endings.kept)


def _gains(best: Continuations, totals: Tensor) -> Tensor:
    """The log-probabilities [R, C] as [B, K, C], -inf where no one lives; checked."""
    gains = best.log_probabilities.reshape(*totals.shape, -1)
    gains = gains.masked_fill((totals == float("-inf")).unsqueeze(-1), float("-inf"))
    check_numbers(best._replace(log_probabilities=gains))
    return gains


def _split_finished(
    ranked: Tensor, ids: Tensor, *, eos: int, beam: int, last: Tensor
) -> tuple[Tensor, Tensor]:
    """Which continuations end a hypothesis, and which live on. [B, C], best first -> [B, C] each.

    Where `last` [B, 1], what would live on ends as it is.
    """
    possible = ranked > float("-inf")
    ends = possible & (ids == eos)
    ends[:, beam:] = False
    full = ends.sum(dim=1, keepdim=True) == beam  # [B, 1]
    lives = possible & (ids != eos) & ~full
    lives &= lives.cumsum(dim=1) <= beam
    return ends | (lives & last), lives & ~last


def _first(lives: Tensor) -> Tensor:
    """Columns of the living, in their order, then of others: [B, C] -> [B, K], K the most alive."""
    width = int(lives.sum(dim=1).max())
    return lives.to(torch.int8).sort(dim=1, descending=True, stable=True).indices[:, :width]


class _Ending(NamedTuple):
    """A hypothesis that is over: where its trail through the history begins."""

    score: float
    log_probability: float
    step: int  # the step it ended at, from 0
    row: int  # its row in that step
    id: int | None  # what it wrote there; None if there was nothing it could write


class _Endings:
    """The best endings of each sentence, `n_best` at most."""

    def __init__(self, sentences: int, n_best: int) -> None:
        self.kept: list[list[_Ending]] = [[] for _ in range(sentences)]  # best first
        self._n_best = n_best

    def worst(self, sentences: Tensor) -> Tensor:
        """[B] -> [B, 1] what an ending must be better than to be kept."""
        kept = [self.kept[sentence] for sentence in sentences.tolist()]
        scores = [e[-1].score if len(e) == self._n_best else float("-inf") for e in kept]
        return torch.tensor(scores, dtype=torch.float64).unsqueeze(1)

    def add(
        self,
        which: Tensor,
        sentences: Tensor,
        scores: Tensor,
        totals: Tensor,
        step: int,
        rows: Tensor,
        ids: Tensor | None = None,
    ) -> None:
        """Take in those of `which` [B, C], each behind its equals, and let the worst go."""
        if not bool(which.any()):
            return
        which = which & (scores > self.worst(sentences))
        groups, columns = which.nonzero(as_tuple=True)  # [n]
        for sentence, score, total, row, new in zip(
            sentences[groups].tolist(),
            scores[groups, columns].tolist(),
            totals[groups, columns].tolist(),
            rows[groups, columns].tolist(),
            [None] * len(groups) if ids is None else ids[groups, columns].tolist(),
            strict=True,
        ):
            kept = self.kept[sentence]
            insort_right(kept, _Ending(score, total, step, row, new), key=lambda e: -e.score)
            del kept[self._n_best :]


class _History:
    """What every step wrote, and from which row of the step before."""

    def __init__(self) -> None:
        self.parents: list[list[int]] = []  # [t][row of step t + 1] -> row of step t
        self.ids: list[list[int]] = []  # [t][row of step t + 1] -> id written in step t
        self.weights: list[Tensor] = []  # [t] -> [R, S]; empty for a model without

    def add(self, parents: Tensor, ids: Tensor, weights: Tensor | None) -> None:
        self.parents.append(parents.tolist())
        self.ids.append(ids.tolist())
        if weights is not None:
            self.weights.append(weights)

    def hypotheses(self, endings: list[list[_Ending]]) -> list[list[Hypothesis]]:
        """Write out the endings of each sentence."""
        trails = [[self._trail(ending) for ending in kept] for kept in endings]
        alignments = iter(self._alignments([rows for kept in trails for _, rows in kept]))
        return [
            [
                Hypothesis(ids, ending.log_probability, ending.score, next(alignments))
                for ending, (ids, _) in zip(kept, kept_trails, strict=True)
            ]
            for kept, kept_trails in zip(endings, trails, strict=True)
        ]

    def _trail(self, ending: _Ending) -> tuple[tuple[int, ...], list[int]]:
        """The ids of an ending, and the rows [T] of steps 0 to T - 1 that wrote them."""
        row = ending.row
        ids = [] if ending.id is None else [ending.id]
        rows = [] if ending.id is None else [row]
        for t in range(ending.step - 1, -1, -1):
            ids.append(self.ids[t][row])
            row = self.parents[t][row]
            rows.append(row)
        return tuple(reversed(ids)), rows[::-1]

    def _alignments(self, trails: list[list[int]]) -> list[Tensor | None]:
        """Gather the weights along each trail, a step at a time for all: [T, S] each."""
        if not self.weights:
            return [None] * len(trails)
        longest = max(map(len, trails))
        gathered = self.weights[0].new_zeros(len(trails), longest, self.weights[0].shape[1])
        for t in range(longest):
            reached = [i for i, trail in enumerate(trails) if len(trail) > t]
            gathered[reached, t] = self.weights[t][[trails[i][t] for i in reached]]
        gathered = gathered.cpu()  # [N, T, S]
        return [gathered[i, : len(trail)] for i, trail in enumerate(trails)]
