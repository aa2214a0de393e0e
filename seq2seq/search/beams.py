"""The unfinished and the finished hypotheses of a beam search."""

from bisect import insort_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from seq2seq.search.continuations import Continuations, refuse_nan
from seq2seq.search.history import NO_ID, Finished
from seq2seq.search.penalties import LengthDivisors


class Candidates(NamedTuple):
    """The unfinished hypotheses, each extended by one id: C for each of B sentences."""

    log_probabilities: Tensor  # [B, C] float64, nats, of the whole hypothesis; -inf for none
    parents: Tensor  # [B, C] the row of the step that each continues
    ids: Tensor  # [B, C] the id each ends in, or NO_ID


@dataclass(frozen=True, slots=True)
class Beams:
    """The unfinished hypotheses: up to K for each of B sentences, best first."""

    sentences: Tensor  # [B] which sentence it is
    max_lengths: Tensor  # [B] ids, EOS included
    final_divisors: Tensor  # [B] float64, `length_divisor` at the maximum length
    log_probabilities: Tensor  # [B, K] float64, nats; -inf where a sentence has fewer than K
    length: int  # ids of every hypothesis

    @classmethod
    def start(cls, max_lengths: Sequence[int], divisors: LengthDivisors) -> "Beams":
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

    def dead_ends(self, totals: Tensor) -> tuple[Tensor, Candidates]:
        """Which hypotheses [B, K] have no allowed continuation, and all of them with no id more."""
        possible = self.log_probabilities > float("-inf")
        blocked = totals.amax(dim=-1) == float("-inf")
        ids = torch.full_like(self.rows, NO_ID)
        return possible & blocked, Candidates(self.log_probabilities, self.rows, ids)

    def rank(
        self, totals: Tensor, ids: Tensor, *, count: int, ranks: Tensor | None = None
    ) -> Candidates:
        """The best `count` continuations of each sentence. totals [B, K, C], ids [B * K, C]

        ranks [B, K, C]: what they are ranked by, if not by their log-probabilities
        """
        flat = totals.flatten(1)
        by = flat if ranks is None else ranks.flatten(1)
        order = by.sort(descending=True, stable=True).indices[:, :count]  # [B, count]
        parents = self.rows.gather(1, order // totals.shape[-1])
        ids = ids.reshape(flat.shape).gather(1, order)
        return Candidates(flat.gather(1, order), parents, ids)

    def only(self, which: Tensor) -> "Beams":
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
        candidates: Candidates,
        continues: Tensor,
        finished: "FinishedHypotheses",
        *,
        groups: int,
        stop_after: int = 0,
    ) -> tuple["Beams", Tensor, Tensor, Tensor]:
        """The beams of the next step, which sentences they are of [B], parents and last ids.

        The row that each of the next rows continues, and the id that it ends in: [B' * K] each.
        Sentences whose best hypothesis can no longer become better than the finished ones are
        dropped, as are those with no hypothesis that `continues` [B, C], and, unless it is 0, those
        of which `stop_after` hypotheses are finished.
        """
        columns = true_first(continues)  # [B, K]
        totals = candidates.log_probabilities.gather(1, columns)
        totals = totals.masked_fill(~continues.gather(1, columns), float("-inf"))
        bounds = totals / self.final_divisors.unsqueeze(1)  # [B, K]
        searched = (bounds > finished.thresholds(self.sentences)).any(dim=1)  # [B]
        if stop_after:
            searched &= finished.counts[self.sentences] < stop_after
        if groups > 1:
            searched = or_earlier(searched, self.sentences, groups)
            searched &= (totals > float("-inf")).any(dim=1)
        beams = replace(
            self.only(searched), log_probabilities=totals[searched], length=self.length + 1
        )
        parents = candidates.parents.gather(1, columns)[searched].flatten()
        return beams, searched, parents, candidates.ids.gather(1, columns)[searched].flatten()


class FinishedHypotheses:
    """The best finished hypotheses of each sentence, at most `n_best`."""

    def __init__(self, sentences: int, n_best: int, divisors: LengthDivisors) -> None:
        self.kept: list[list[Finished]] = [[] for _ in range(sentences)]  # best first
        self.counts = torch.zeros(sentences, dtype=torch.int64)  # also of those that are not kept
        self._n_best, self._divisors = n_best, divisors

    def thresholds(self, sentences: Tensor) -> Tensor:
        """[B] -> [B, 1] the score that a further hypothesis must exceed to be kept."""
        kept = [self.kept[sentence] for sentence in sentences.tolist()]
        scores = [k[-1].score if len(k) == self._n_best else float("-inf") for k in kept]
        return torch.tensor(scores, dtype=torch.float64).unsqueeze(1)

    def add(
        self,
        which: Tensor,
        candidates: Candidates,
        penalties: Tensor | None,
        beams: Beams,
        *,
        length: int,
    ) -> None:
        """Keep the best of `which` candidates [B, C], all of `length` ids; ties go to the older.

        penalties [B * K]: what is added to the scores of those that continue each row
        """
        if not bool(which.any()):
            return
        sentences = beams.sentences
        self.counts[sentences] += which.sum(dim=1)
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
            insort_right(kept, Finished(score, total, length, parent, id_), key=lambda f: -f.score)
            del kept[self._n_best :]


def true_first(mask: Tensor) -> Tensor:
    """Columns with True first, in their order: [B, C] -> [B, K], K the most True in any row."""
    width = int(mask.sum(dim=1).max())
    return mask.to(torch.int8).sort(dim=1, descending=True, stable=True).indices[:, :width]


def or_earlier(searched: Tensor, sentences: Tensor, groups: int) -> Tensor:
    """Mark searched groups, and earlier groups of their sentences. searched, sentences [B] -> [B]

    The ids of earlier groups lower the ranks of those of later ones.
    """
    table = torch.zeros(int(sentences.max()) // groups + 1, groups, dtype=torch.int8)
    where = sentences // groups, sentences % groups
    table[where] = searched.to(torch.int8)
    return table.flip(1).cummax(dim=1).values.flip(1)[where].bool()
