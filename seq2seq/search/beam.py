"""Beam search over a batch of sentences, stopped only when nothing better can come."""

from bisect import insort_right
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from seq2seq.search.hypothesis import (
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
    history = _History()
    endings: list[list[_Ending]] = [[] for _ in range(rows)]  # best first, at most n_best each
    sentences = torch.arange(rows)  # [B] the sentence of each group of rows still searched
    room = torch.tensor(max_lengths, dtype=torch.int64)  # [B]
    reach = torch.tensor(
        [length_divisor(n, alpha=length_penalty) for n in max_lengths], dtype=torch.float64
    )  # [B] the divisor at the longest length
    worst = torch.full((rows,), float("-inf"), dtype=torch.float64)  # [B] score of the n-th ending
    totals = torch.zeros(rows, 1, dtype=torch.float64)  # [B, K] nats; -inf where no one lives
    previous = torch.full((rows,), bos, device=device)  # [B * K]
    length = 0
    while len(sentences):
        made = step(previous, state)
        divisor = length_divisor(length + 1, alpha=length_penalty)
        best = best_continuations(made.logits, count=beam + 1, forbidden=forbidden)
        batch, places = totals.shape
        branches = best.ids.shape[1]
        lives = totals > float("-inf")  # [B, K]
        gains = best.log_probabilities.reshape(batch, places, branches)  # [B, K, C]
        gains = gains.masked_fill(~lives.unsqueeze(-1), float("-inf"))
        check_numbers(best._replace(log_probabilities=gains))

        stuck = lives & (gains.amax(dim=-1) == float("-inf"))  # [B, K]
        if bool(stuck.any()):
            here = length_divisor(length, alpha=length_penalty)
            for group, place in stuck.nonzero().tolist():
                total = float(totals[group, place])
                row = group * places + place
                ending = _Ending(total / here, total, length, row, None)
                _keep(ending, endings[int(sentences[group])], n_best)

        ranked, order = (totals.unsqueeze(-1) + gains).flatten(1).sort(descending=True, stable=True)
        ranked, order = ranked[:, : 2 * beam], order[:, : 2 * beam]  # [B, 2K]
        origin = torch.arange(batch).unsqueeze(1) * places + order // branches  # [B, 2K] rows
        chosen = best.ids.reshape(batch, -1).gather(1, order)  # [B, 2K]
        possible = ranked > float("-inf")
        ends = possible & (chosen == eos)
        ends[:, beam:] = False
        full = ends.sum(dim=1, keepdim=True) == beam  # [B, 1]
        goes_on = possible & (chosen != eos) & ~full
        goes_on &= goes_on.cumsum(dim=1) <= beam  # [B, 2K]
        last = (room == length + 1).unsqueeze(1)  # [B, 1]
        ends |= goes_on & last
        goes_on &= ~last

        scores = ranked / divisor  # [B, 2K]
        ends &= scores > worst.unsqueeze(1)
        groups, columns = ends.nonzero(as_tuple=True)
        if len(groups):
            for sentence, score, total, row, new in zip(
                sentences[groups].tolist(),
                scores[groups, columns].tolist(),
                ranked[groups, columns].tolist(),
                origin[groups, columns].tolist(),
                chosen[groups, columns].tolist(),
                strict=True,
            ):
                _keep(_Ending(score, total, length, row, new), endings[sentence], n_best)
        if len(groups) or bool(stuck.any()):
            worst = torch.tensor(
                [
                    endings[i][-1].score if len(endings[i]) == n_best else float("-inf")
                    for i in sentences.tolist()
                ],
                dtype=torch.float64,
            )

        width = int(goes_on.sum(dim=1).max())
        living = goes_on.to(torch.int8).sort(dim=1, descending=True, stable=True).indices
        living = living[:, :width]  # [B, K] columns, those of no one last
        totals = ranked.gather(1, living).masked_fill(~goes_on.gather(1, living), float("-inf"))
        stays = torch.zeros(batch, dtype=torch.bool)
        if width:
            stays = (totals[:, 0] > float("-inf")) & (totals[:, 0] / reach > worst)  # [B]
        parents = origin.gather(1, living)[stays].flatten()  # [B' * K]
        ids = chosen.gather(1, living)[stays].flatten()  # [B' * K]
        history.add(parents, ids, made.weights)
        sentences, room, reach, worst = (x[stays] for x in (sentences, room, reach, worst))
        totals = totals[stays]  # [B', K]
        length += 1
        if len(sentences):
            state = made.state.select(parents.to(made.logits.device))
            previous = ids.to(made.logits.device)
    return history.hypotheses(endings)


class _Ending(NamedTuple):
    """A hypothesis that is over: where its trail through the history begins."""

    score: float
    log_probability: float
    step: int  # the step it ended at, from 0
    row: int  # its row in that step
    id: int | None  # what it wrote there; None if there was nothing it could write


def _keep(ending: _Ending, endings: list[_Ending], n_best: int) -> None:
    """Insert behind its equals, and let the worst go."""
    insort_right(endings, ending, key=lambda kept: -kept.score)
    del endings[n_best:]


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
