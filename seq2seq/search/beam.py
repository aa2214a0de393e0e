"""Beam search over a batch of sentences, which stops only when no better hypothesis can follow."""

from bisect import insort_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from seq2seq.search.constraints import Constraint, Prefixes, all_allowed
from seq2seq.search.continuations import Continuations, best_continuations, refuse_nan
from seq2seq.search.hypothesis import Hypothesis, StateT, StepFunction, check_max_lengths
from seq2seq.search.penalties import (
    LengthNormalization,
    check_alpha,
    check_coverage,
    coverage_penalty,
    length_divisor,
)
from seq2seq.search.required import RequiredPhrases

_NO_ID = -1  # in place of an id: the hypothesis is cut because nothing can follow it


@torch.no_grad()
def beam_search(
    step: StepFunction[StateT],
    state: StateT,
    *,
    rows: int,
    bos: int,
    eos: int,
    beam: int,
    max_lengths: Sequence[int],
    n_best: int = 1,
    length_penalty: float = 0.6,
    length_normalization: LengthNormalization = "wu",
    coverage_weight: float = 0.0,
    positions: Tensor | None = None,
    groups: int = 1,
    diversity: float = 0.0,
    forbidden: Sequence[int] = (),
    constraints: Sequence[Constraint] = (),
    required: RequiredPhrases | None = None,
    device: torch.device | str = "cpu",
) -> list[list[Hypothesis]]:
    """The best hypotheses of each sentence, best first; `state` has one row for each sentence.

    At every step the continuations of a sentence are ranked by log-probability. Each EOS among the
    first `beam` of them finishes a hypothesis, and the first `beam` others are continued. So a
    finished hypothesis takes no place in the beam from an unfinished one, and none is kept that a
    beam of this width would not have contained. If the first `beam` are all EOS, the sentence is
    finished; with a beam of 1 this is greedy search, whatever the penalty.

    A sentence also stops when its `n_best` finished hypotheses all score at least as high as the
    bound of `length_divisor` on what any unfinished one can still reach.

    `max_lengths[i]` bounds the ids of sentence i, EOS included; hypotheses still unfinished then
    are cut and ranked without EOS. `forbidden` ids (BOS, PAD) are never written, and others only
    where all `constraints` allow it; log-probabilities stay the model's own, not redistributed over
    the other ids. A hypothesis that nothing may follow is cut there; with `constraints` it is
    returned only if there is no other. Fewer than `n_best` hypotheses are returned only if no more
    exist, or if groups found equal ones.

    With `coverage_weight` the coverage penalty is added to the score of a finished hypothesis;
    `positions` [B, S'] are those of `coverage_penalty`.

    With several `groups` each searches with a beam of `beam / groups`, one after the other at each
    step, and ranks a continuation lower by `diversity` for each time that an earlier group of the
    sentence continued with the same id at this step: diverse beam search with Hamming diversity,
    Vijayakumar et al. (2018), algorithm 1. Neither probabilities nor scores contain that.

    With `required` phrases, which are one of the constraints, the places of the beam go in turn to
    hypotheses with different numbers of required ids, those with more first.

    Ties: what finished earlier comes first, then lower rows of the beam, then lower ids.
    """
    check_max_lengths(rows, max_lengths)
    check_alpha(length_penalty)
    check_coverage(coverage_weight, positions)
    if beam < 1:
        raise ValueError(f"beam is {beam}; 1 is greedy search")
    if not 1 <= n_best <= beam:
        raise ValueError(f"n_best is {n_best}; a beam of {beam} gives 1 to {beam} hypotheses")
    if groups < 1 or beam % groups or diversity < 0:
        raise ValueError(f"{groups} groups with diversity {diversity} in a beam of {beam}")
    if required is not None and groups > 1:
        raise ValueError("required phrases need the whole beam, not groups of it")
    width = beam // groups
    if groups > 1:  # each group of a sentence is searched as if it were a sentence
        repeated = torch.arange(rows).repeat_interleave(groups)
        state = state.select(repeated.to(device), repeated.to(device))
        max_lengths = [length for length in max_lengths for _ in range(groups)]
        positions = None if positions is None else positions[repeated.to(positions.device)]
    divisors = _Divisors(alpha=length_penalty, normalization=length_normalization)
    history = _History()
    finished, stuck = (
        _FinishedHypotheses(len(max_lengths), min(n_best, width), divisors) for _ in range(2)
    )
    beams = _Beams.start(max_lengths, divisors)
    covered = _Coverage.start(positions, weight=coverage_weight)
    prefixes = Prefixes.start(beams.sentences // groups)
    previous_ids = torch.full((len(max_lengths),), bos, device=device)  # [B * K]
    while len(beams.sentences):
        output = step(previous_ids, state)
        progress = None if required is None else required.progress(prefixes)
        best = best_continuations(
            output.logits,
            count=beam + 1,  # also of a group, whose ids the others may have used
            forbidden=forbidden,
            ids=output.ids,
            allowed=all_allowed(constraints, prefixes, output.output_ids) if constraints else None,
            wanted=None if progress is None else progress.ids,
        )
        totals = beams.extend(best)  # [B, K, C]
        dead_ends, cut = beams.dead_ends(totals)
        (stuck if constraints else finished).add(
            dead_ends, cut, covered.penalties(), beams, length=beams.length
        )

        covered = covered.attend(output.weights)
        candidates, ends, continues = _choose(
            beams,
            totals,
            best.ids,
            eos=eos,
            width=width,
            groups=groups,
            diversity=diversity,
            met=None if progress is None else progress.after(best.ids),
        )
        finished.add(ends, candidates, covered.penalties(), beams, length=beams.length + 1)

        beams, left, parents, ids = beams.advance(candidates, continues, finished, groups=groups)
        history.add(parents, ids, output.weights)
        if len(beams.sentences):
            device = output.logits.device
            kept = None if bool(left.all()) else left.nonzero().squeeze(1).to(device)
            state = output.state.select(parents.to(device), kept)
            previous_ids = ids.to(device)
            covered = covered.select(parents, left)
            if constraints:
                prefixes = prefixes.advance(parents, ids)
    ended = [own or others for own, others in zip(finished.kept, stuck.kept, strict=True)]
    return _merged(history.hypotheses(ended), groups, n_best)


@dataclass(frozen=True, slots=True)
class _Divisors:
    """The divisor of a hypothesis's log-probability, by its number of ids."""

    alpha: float
    normalization: LengthNormalization

    def of(self, length: int) -> float:
        return length_divisor(length, alpha=self.alpha, normalization=self.normalization)


class _Candidates(NamedTuple):
    """Hypotheses that one more id makes of the unfinished ones: C for each of B sentences."""

    log_probabilities: Tensor  # [B, C] float64, nats, of the whole hypothesis; -inf for none
    parents: Tensor  # [B, C] the row of the step that each continues
    ids: Tensor  # [B, C] the id each ends in, or _NO_ID


@dataclass(frozen=True, slots=True)
class _Beams:
    """The unfinished hypotheses: up to K for each of B sentences, best first."""

    sentences: Tensor  # [B] which sentence it is
    max_lengths: Tensor  # [B] ids, EOS included
    final_divisors: Tensor  # [B] float64, `length_divisor` at the maximum length
    log_probabilities: Tensor  # [B, K] float64, nats; -inf where a sentence has fewer than K
    length: int  # ids of every hypothesis

    @classmethod
    def start(cls, max_lengths: Sequence[int], divisors: _Divisors) -> "_Beams":
        """One empty hypothesis for each sentence."""
        rows, final = len(max_lengths), [divisors.of(length) for length in max_lengths]
        return cls(
            sentences=torch.arange(rows),
            max_lengths=torch.tensor(max_lengths, dtype=torch.int64),
            final_divisors=torch.tensor(final, dtype=torch.float64),
            log_probabilities=torch.zeros(rows, 1, dtype=torch.float64),
            length=0,
        )

    @property
    def rows(self) -> Tensor:
        """The row of each hypothesis in the model's state. [B, K]"""
        return torch.arange(self.log_probabilities.numel()).reshape_as(self.log_probabilities)

    def extend(self, best: Continuations) -> Tensor:
        """Log-probabilities with one id more, -inf where there is no hypothesis. [B, K, C]"""
        before = self.log_probabilities.unsqueeze(-1)  # [B, K, 1]
        gains = best.log_probabilities.reshape(*self.log_probabilities.shape, -1)  # [B, K, C]
        totals = (before + gains).masked_fill(before == float("-inf"), float("-inf"))
        refuse_nan(totals)
        return totals

    def dead_ends(self, totals: Tensor) -> tuple[Tensor, _Candidates]:
        """Which hypotheses [B, K] have no allowed continuation, and all of them as they are."""
        possible = self.log_probabilities > float("-inf")
        blocked = totals.amax(dim=-1) == float("-inf")
        ids = torch.full_like(self.rows, _NO_ID)
        return possible & blocked, _Candidates(self.log_probabilities, self.rows, ids)

    def rank(
        self, totals: Tensor, ids: Tensor, *, count: int, ranks: Tensor | None = None
    ) -> _Candidates:
        """The best `count` continuations of each sentence. totals [B, K, C], ids [B * K, C]

        ranks [B, K, C]: what they are ranked by, if not by their log-probabilities
        """
        flat = totals.flatten(1)
        by = flat if ranks is None else ranks.flatten(1)
        order = by.sort(descending=True, stable=True).indices[:, :count]  # [B, count]
        parents = self.rows.gather(1, order // totals.shape[-1])
        ids = ids.reshape(flat.shape).gather(1, order)
        return _Candidates(flat.gather(1, order), parents, ids)

    def only(self, which: Tensor) -> "_Beams":
        """Some of the sentences, whose rows are then counted from 0. which [B'] int64"""
        return replace(
            self,
            sentences=self.sentences[which],
            max_lengths=self.max_lengths[which],
            final_divisors=self.final_divisors[which],
            log_probabilities=self.log_probabilities[which],
        )

    def advance(
        self,
        candidates: _Candidates,
        continues: Tensor,
        finished: "_FinishedHypotheses",
        *,
        groups: int,
    ) -> tuple["_Beams", Tensor, Tensor, Tensor]:
        """The beams of the next step, which sentences they are of [B], parents and last ids.

        The row that each of the next rows continues, and the id that it ends in: [B' * K] each.
        Sentences whose best hypothesis can no longer become better than the finished ones are
        dropped, as are those with no hypothesis that `continues` [B, C].
        """
        columns = _true_first(continues)  # [B, K]
        totals = candidates.log_probabilities.gather(1, columns)
        totals = totals.masked_fill(~continues.gather(1, columns), float("-inf"))
        bounds = totals / self.final_divisors.unsqueeze(1)  # [B, K]
        searched = (bounds > finished.thresholds(self.sentences)).any(dim=1)  # [B]
        if groups > 1:
            searched = _or_earlier(searched, self.sentences, groups)
            searched &= (totals > float("-inf")).any(dim=1)
        beams = replace(
            self.only(searched), log_probabilities=totals[searched], length=self.length + 1
        )
        parents = candidates.parents.gather(1, columns)[searched].flatten()
        return beams, searched, parents, candidates.ids.gather(1, columns)[searched].flatten()


def _choose(
    beams: _Beams,
    totals: Tensor,
    ids: Tensor,
    *,
    eos: int,
    width: int,
    groups: int,
    diversity: float,
    met: Tensor | None = None,
) -> tuple[_Candidates, Tensor, Tensor]:
    """The best continuations, and which of them are finished and which are continued: [B, C] each.

    met [B * K, C]: the required ids that each has, which then share the beam

    totals [B, K, C], ids [B * K, C]; the groups of a sentence stand beside each other
    """
    last = beams.max_lengths == beams.length + 1  # [B]
    count = 2 * width
    if groups == 1:
        ranks = None if met is None else _in_turn(totals.flatten(1), met.reshape(len(totals), -1))
        candidates = beams.rank(totals, ids, count=count, ranks=ranks)
        return candidates, *_split_finished(candidates, eos=eos, beam=width, last=last)
    own_ids = ids.reshape(totals.shape)  # [B, K, C]
    used = torch.zeros(int(beams.sentences.max()) // groups + 1, int(ids.max()) + 1)
    chosen = []
    for group in range(groups):
        which = (beams.sentences % groups == group).nonzero().squeeze(1)  # [B']
        sentences = beams.sentences[which] // groups
        times = used[sentences.reshape(-1, 1, 1), own_ids[which]]  # [B', K, C]
        part = beams.only(which)
        candidates = part.rank(
            totals[which],
            own_ids[which],
            count=count,
            ranks=totals[which] - diversity * times.double(),
        )
        ends, continues = _split_finished(candidates, eos=eos, beam=width, last=last[which])
        row, column = continues.nonzero(as_tuple=True)
        written = sentences[row], candidates.ids[row, column]
        used.index_put_(written, torch.ones(len(row)), accumulate=True)
        rows = beams.rows[which, 0].unsqueeze(1) - part.rows[:, :1]  # [B', 1] where theirs begin
        candidates = candidates._replace(parents=candidates.parents + rows)
        chosen.append((which, (*candidates, ends, continues)))
    order = torch.cat([which for which, _ in chosen]).argsort()
    joined = [torch.cat(parts)[order] for parts in zip(*(each for _, each in chosen), strict=True)]
    log_probabilities, parents, written_ids, ends, continues = joined
    return _Candidates(log_probabilities, parents, written_ids), ends, continues


def _split_finished(
    candidates: _Candidates, *, eos: int, beam: int, last: Tensor
) -> tuple[Tensor, Tensor]:
    """Which candidates are finished, and which are continued: [B, C] each.

    For sentences at their `last` step [B], what would be continued is finished as it is.
    """
    possible = candidates.log_probabilities > float("-inf")
    ends = possible & (candidates.ids == eos)
    ends[:, beam:] = False
    only_ends = ends.sum(dim=1, keepdim=True) == beam  # [B, 1]
    continues = possible & (candidates.ids != eos) & ~only_ends
    continues &= continues.cumsum(dim=1) <= beam
    last = last.unsqueeze(1)
    return ends | (continues & last), continues & ~last


def _in_turn(totals: Tensor, met: Tensor) -> Tensor:
    """Ranks by which the best of each number of required ids come first, then the second best.

    Those with more ids come before those with fewer. totals [B, N], met [B, N] -> [B, N]
    """
    order = totals.sort(dim=1, descending=True, stable=True).indices
    sorted_met = met.gather(1, order)  # [B, N]
    banks = torch.nn.functional.one_hot(sorted_met, int(met.max()) + 1)  # [B, N, M + 1]
    position = (banks.cumsum(dim=1) * banks).sum(-1)  # [B, N] from 1, among those with as many
    ranks = sorted_met - position * (int(met.max()) + 1)
    in_place = torch.empty_like(totals).scatter_(1, order, ranks.double())
    return in_place.masked_fill(totals == float("-inf"), float("-inf"))


def _or_earlier(searched: Tensor, sentences: Tensor, groups: int) -> Tensor:
    """Groups that are searched [B], and those before them, whose ids later ones go by."""
    table = torch.zeros(int(sentences.max()) // groups + 1, groups, dtype=torch.int8)
    where = sentences // groups, sentences % groups
    table[where] = searched.to(torch.int8)
    return table.flip(1).cummax(dim=1).values.flip(1)[where].bool()


def _true_first(mask: Tensor) -> Tensor:
    """Columns with True first, in their order: [B, C] -> [B, K], K the most True in any row."""
    width = int(mask.sum(dim=1).max())
    return mask.to(torch.int8).sort(dim=1, descending=True, stable=True).indices[:, :width]


class _Finished(NamedTuple):
    """A finished hypothesis, whose other ids are traced back through the history."""

    score: float
    log_probability: float
    length: int  # ids
    parent: int  # its row before the step that finished it
    id: int  # what that step wrote, or _NO_ID


@dataclass(frozen=True, slots=True)
class _Coverage:
    """The attention that every source position has had in each unfinished hypothesis."""

    weight: float
    positions: Tensor | None  # [B, S']; None: there is no penalty
    attended: Tensor | None  # [B, K, S']

    @classmethod
    def start(cls, positions: Tensor | None, *, weight: float) -> "_Coverage":
        if positions is None or not weight:
            return cls(0.0, None, None)
        positions = positions.double().cpu()
        return cls(weight, positions, torch.zeros_like(positions).unsqueeze(1))

    def attend(self, weights: Tensor | None) -> "_Coverage":
        """After one more step. weights [B * K, S']"""
        if self.attended is None:
            return self
        assert weights is not None
        added = weights.double().cpu().reshape(self.attended.shape)
        return replace(self, attended=self.attended + added)

    def penalties(self) -> Tensor | None:
        """What is added to the score of each row if it ends here. [B * K]"""
        if self.attended is None or self.positions is None:
            return None
        positions = self.positions.unsqueeze(1)  # [B, 1, S']
        return coverage_penalty(self.attended, positions, beta=self.weight).flatten()

    def select(self, rows: Tensor, left: Tensor) -> "_Coverage":
        """The rows [B' * K'] of the next step, of the sentences that are left [B] bool."""
        if self.attended is None or self.positions is None:
            return self
        positions = self.positions[left]
        attended = self.attended.flatten(0, 1)[rows]
        return replace(
            self,
            positions=positions,
            attended=attended.reshape(len(positions), -1, positions.shape[1]),
        )


class _FinishedHypotheses:
    """The best finished hypotheses of each sentence, at most `n_best`."""

    def __init__(self, sentences: int, n_best: int, divisors: _Divisors) -> None:
        self.kept: list[list[_Finished]] = [[] for _ in range(sentences)]  # best first
        self._n_best, self._divisors = n_best, divisors

    def thresholds(self, sentences: Tensor) -> Tensor:
        """[B] -> [B, 1] the score that a further hypothesis must exceed to be kept."""
        kept = [self.kept[sentence] for sentence in sentences.tolist()]
        scores = [k[-1].score if len(k) == self._n_best else float("-inf") for k in kept]
        return torch.tensor(scores, dtype=torch.float64).unsqueeze(1)

    def add(
        self,
        which: Tensor,
        candidates: _Candidates,
        penalties: Tensor | None,
        beams: _Beams,
        *,
        length: int,
    ) -> None:
        """Keep the best of `which` candidates [B, C], all of `length` ids; ties go to the older.

        penalties [B * K]: what is added to the scores of those that continue each row
        """
        if not bool(which.any()):
            return
        sentences = beams.sentences
        scores = candidates.log_probabilities / self._divisors.of(length)  # [B, C]
        if penalties is not None:
            scores = scores + penalties[candidates.parents]
        which = which & (scores > self.thresholds(sentences))
        groups, columns = which.nonzero(as_tuple=True)  # [n]
        chosen = (values[groups, columns].tolist() for values in (scores, *candidates))
        for sentence, score, total, parent, id_ in zip(
            sentences[groups].tolist(), *chosen, strict=True
        ):
            kept = self.kept[sentence]
            insort_right(kept, _Finished(score, total, length, parent, id_), key=lambda f: -f.score)
            del kept[self._n_best :]


class _History:
    """What every step wrote, and from which row of the step before."""

    def __init__(self) -> None:
        self.parents: list[list[int]] = []  # [t][row of step t + 1] -> row of step t
        self.ids: list[list[int]] = []  # [t][row of step t + 1] -> id written in step t
        self.weights: list[Tensor] = []  # [t] -> [R, S]; empty for a model without attention

    def add(self, parents: Tensor, ids: Tensor, weights: Tensor | None) -> None:
        """parents and ids of the next step's rows, weights [R, S] of this step's"""
        self.parents.append(parents.tolist())
        self.ids.append(ids.tolist())
        if weights is not None:
            self.weights.append(weights)

    def hypotheses(self, finished: list[list[_Finished]]) -> list[list[Hypothesis]]:
        """Trace back the ids and weights of each sentence's finished hypotheses."""
        paths = [[self._path(each) for each in kept] for kept in finished]
        alignments = iter(self._alignments([rows for kept in paths for _, rows in kept]))
        return [
            [
                Hypothesis(ids, each.log_probability, each.score, next(alignments))
                for each, (ids, _) in zip(kept, kept_paths, strict=True)
            ]
            for kept, kept_paths in zip(finished, paths, strict=True)
        ]

    def _path(self, finished: _Finished) -> tuple[tuple[int, ...], list[int]]:
        """The ids [T], and the row [T] of each step that wrote them."""
        row = finished.parent
        ids = [] if finished.id == _NO_ID else [finished.id]
        rows = [] if finished.id == _NO_ID else [row]
        for t in reversed(range(finished.length - len(ids))):
            ids.append(self.ids[t][row])
            row = self.parents[t][row]
            rows.append(row)
        return tuple(reversed(ids)), rows[::-1]

    def _alignments(self, paths: list[list[int]]) -> list[Tensor | None]:
        """Gather the weights along every path of rows, step by step for all: [T, S] each."""
        if not self.weights:
            return [None] * len(paths)
        longest = max(map(len, paths))
        gathered = self.weights[0].new_zeros(len(paths), longest, self.weights[0].shape[1])
        for t in range(longest):
            reached = [i for i, path in enumerate(paths) if len(path) > t]
            gathered[reached, t] = self.weights[t][[paths[i][t] for i in reached]]
        gathered = gathered.cpu()  # [paths, T, S]
        return [gathered[i, : len(path)] for i, path in enumerate(paths)]


def _merged(found: list[list[Hypothesis]], groups: int, n_best: int) -> list[list[Hypothesis]]:
    """The best different hypotheses of all groups of each sentence."""
    if groups == 1:
        return found
    merged = []
    for begin in range(0, len(found), groups):
        together = [each for kept in found[begin : begin + groups] for each in kept]
        best = {each.ids: each for each in sorted(together, key=lambda each: each.score)}
        merged.append(sorted(best.values(), key=lambda each: -each.score)[:n_best])
    return merged
