"""Beam search over a batch of sentences, which stops only when no better hypothesis can follow."""

from collections.abc import Sequence

import torch
from torch import Tensor

from seq2seq.search.beams import Beams, Candidates, FinishedHypotheses
from seq2seq.search.constraints import Constraint, Prefixes, all_allowed
from seq2seq.search.continuations import best_continuations
from seq2seq.search.history import History
from seq2seq.search.hypothesis import Hypothesis, StateT, StepFunction, check_max_lengths
from seq2seq.search.penalties import (
    LengthDivisors,
    LengthNormalization,
    RunningCoverage,
    check_alpha,
    check_coverage,
)
from seq2seq.search.required import RequiredPhrases


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
    stop_after: int = 0,
    device: torch.device | str = "cpu",
) -> list[list[Hypothesis]]:
    """The best hypotheses of each sentence, best first; `state` has one row for each sentence.

    At every step the continuations of a sentence are ranked by log-probability. Each EOS among the
    first `beam` of them finishes a hypothesis, and the first `beam` others are continued. So a
    finished hypothesis takes no place in the beam from an unfinished one, and none is kept that a
    beam of this width would not have contained. If the first `beam` are all EOS, the sentence is
    finished; with a beam of 1 this is greedy search, whatever the penalty.

    A sentence also stops when its `n_best` finished hypotheses all score at least as high as the
    bound of `length_divisor` on what any unfinished one can still reach, and, unless it is 0, when
    `stop_after` of its hypotheses are finished, which is the beam size times the patience factor of
    Kasai et al. (2022), "A call for clarity in beam search: how it works and when it stops". Each
    group stops by itself.

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

    With `required` phrases, which are one of the constraints, the slots of the beam go in turn to
    hypotheses with different numbers of required ids, those with more first.

    Ties: what finished earlier comes first, then lower rows of the beam, then lower ids.
    """
    check_max_lengths(rows, max_lengths)
    check_alpha(length_penalty)
    check_coverage(coverage_weight, positions)
    _check_beam(beam, n_best=n_best, groups=groups, diversity=diversity, stop_after=stop_after)
    if required is not None and groups > 1:
        raise ValueError("required phrases need the whole beam, not groups of it")
    width = beam // groups
    if groups > 1:  # each group of a sentence is searched as if it were a sentence
        repeated = torch.arange(rows).repeat_interleave(groups)
        state = state.select(repeated.to(device), repeated.to(device))
        max_lengths = [length for length in max_lengths for _ in range(groups)]
        positions = None if positions is None else positions[repeated.to(positions.device)]
    divisors = LengthDivisors(alpha=length_penalty, normalization=length_normalization)
    history = History()
    finished, stuck = (
        FinishedHypotheses(len(max_lengths), min(n_best, width), divisors) for _ in range(2)
    )
    beams = Beams.start(max_lengths, divisors)
    covered = RunningCoverage.start(positions, weight=coverage_weight)
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
        if groups == 1:
            met = None if progress is None else progress.after(best.ids)
            chosen = _choose(beams, totals, best.ids, eos=eos, width=width, met=met)
        else:
            chosen = _choose_in_groups(
                beams, totals, best.ids, eos=eos, width=width, groups=groups, diversity=diversity
            )
        candidates, ends, continues = chosen
        finished.add(ends, candidates, covered.penalties(), beams, length=beams.length + 1)

        beams, left, parents, ids = beams.advance(
            candidates, continues, finished, groups=groups, stop_after=stop_after
        )
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


def _check_beam(beam: int, *, n_best: int, groups: int, diversity: float, stop_after: int) -> None:
    """Raises ValueError for numbers that are too small, or do not fit the width of the beam."""
    if beam < 1:
        raise ValueError(f"beam is {beam}; 1 is greedy search")
    if not 1 <= n_best <= beam:
        raise ValueError(f"n_best is {n_best}; a beam of {beam} gives 1 to {beam} hypotheses")
    if groups < 1 or beam % groups or diversity < 0:
        raise ValueError(f"{groups} groups with diversity {diversity} in a beam of {beam}")
    if stop_after < 0:
        raise ValueError(f"stop_after is {stop_after}; 0 is the least")


def _choose(
    beams: Beams, totals: Tensor, ids: Tensor, *, eos: int, width: int, met: Tensor | None
) -> tuple[Candidates, Tensor, Tensor]:
    """The best continuations, and which of them are finished and which are continued: [B, C] each.

    met [B * K, C]: how many required ids each has; the beam is then shared out by these numbers

    totals [B, K, C], ids [B * K, C]
    """
    ranks = None if met is None else _in_turn(totals.flatten(1), met.reshape(len(totals), -1))
    candidates = beams.rank(totals, ids, count=2 * width, ranks=ranks)
    return candidates, *_split_finished(candidates, beams, eos=eos, beam=width)


def _choose_in_groups(
    beams: Beams,
    totals: Tensor,
    ids: Tensor,
    *,
    eos: int,
    width: int,
    groups: int,
    diversity: float,
) -> tuple[Candidates, Tensor, Tensor]:
    """The best continuations, and which of them are finished and which are continued: [B, C] each.

    One group after the other chooses its own: a continuation ranks lower by `diversity` for each
    hypothesis that an earlier group of the sentence continues with the same id.

    totals [B, K, C], ids [B * K, C]; the groups of a sentence stand beside each other
    """
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
            count=2 * width,
            ranks=totals[which] - diversity * times.double(),
        )
        ends, continues = _split_finished(candidates, part, eos=eos, beam=width)
        row, column = continues.nonzero(as_tuple=True)
        written = sentences[row], candidates.ids[row, column]
        used.index_put_(written, torch.ones(len(row)), accumulate=True)
        rows = beams.rows[which, 0].unsqueeze(1) - part.rows[:, :1]  # [B', 1] where theirs begin
        candidates = candidates._replace(parents=candidates.parents + rows)
        chosen.append((which, (*candidates, ends, continues)))
    order = torch.cat([which for which, _ in chosen]).argsort()
    joined = [torch.cat(parts)[order] for parts in zip(*(each for _, each in chosen), strict=True)]
    log_probabilities, parents, written_ids, ends, continues = joined
    return Candidates(log_probabilities, parents, written_ids), ends, continues


def _split_finished(
    candidates: Candidates, beams: Beams, *, eos: int, beam: int
) -> tuple[Tensor, Tensor]:
    """Which candidates are finished, and which are continued: [B, C] each.

    At the last step of a sentence, what would be continued is finished as it is.
    """
    possible = candidates.log_probabilities > float("-inf")
    ends = possible & (candidates.ids == eos)
    ends[:, beam:] = False
    only_ends = ends.sum(dim=1, keepdim=True) == beam  # [B, 1]
    continues = possible & (candidates.ids != eos) & ~only_ends
    continues &= continues.cumsum(dim=1) <= beam
    last = (beams.max_lengths == beams.length + 1).unsqueeze(1)  # [B, 1]
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
