"""Greedy search: the likeliest next id of every sentence, again and again until EOS."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from seq2seq.search.constraints import Constraint, Prefixes, all_allowed
from seq2seq.search.continuations import best_continuations, refuse_nan
from seq2seq.search.hypothesis import (
    Hypothesis,
    SearchStep,
    StateT,
    StepFunction,
    check_max_lengths,
)
from seq2seq.search.penalties import LengthDivisors, LengthNormalization, check_alpha


@torch.no_grad()
def greedy_search(
    step: StepFunction[StateT],
    state: StateT,
    *,
    rows: int,
    bos: int,
    eos: int,
    max_lengths: Sequence[int],
    length_penalty: float = 0.6,
    length_normalization: LengthNormalization = "wu",
    forbidden: Sequence[int] = (),
    constraints: Sequence[Constraint] = (),
    device: torch.device | str = "cpu",
) -> list[Hypothesis]:
    """One hypothesis for each sentence; `state` has one row for each of the `rows` sentences.

    `max_lengths[i]` bounds the ids of sentence i, EOS included; a hypothesis without EOS by then
    is cut. `forbidden` ids (BOS, PAD) are never written, and others only where all `constraints`
    allow it; log-probabilities stay the model's own, not redistributed over the other ids. If no
    id that may be written has any probability, the hypothesis is cut there. Of equal logits the
    lowest id wins. The length penalty changes only the reported score.
    """
    check_alpha(length_penalty)

    def likeliest(
        output: SearchStep[StateT], allowed: Tensor | None, active: Tensor
    ) -> tuple[Tensor, Tensor]:
        best = best_continuations(
            output.logits, count=1, forbidden=forbidden, ids=output.ids, allowed=allowed
        )
        refuse_nan(best.log_probabilities)
        gains, first = best.log_probabilities.max(dim=1, keepdim=True)  # [R, 1], first of equals
        return gains.squeeze(1), best.ids.gather(1, first).squeeze(1)

    return write_one_each(
        step,
        state,
        likeliest,
        rows=rows,
        bos=bos,
        eos=eos,
        max_lengths=max_lengths,
        divisor=LengthDivisors(length_penalty, length_normalization).of,
        constraints=constraints,
        device=device,
    )


Choose = Callable[[SearchStep[StateT], Tensor | None, Tensor], tuple[Tensor, Tensor]]
"""(step of R rows, what may be written [R, V'] or None for all, the number of each row [R]) -> the
log-probability [R] float64 and the id [R] that each row goes on with; -inf where there is none."""


def write_one_each(
    step: StepFunction[StateT],
    state: StateT,
    choose: Choose[StateT],
    *,
    rows: int,
    bos: int,
    eos: int,
    max_lengths: Sequence[int],
    divisor: Callable[[int], float],
    constraints: Sequence[Constraint] = (),
    sentences: Tensor | None = None,
    device: torch.device | str = "cpu",
) -> list[Hypothesis]:
    """One hypothesis for each row, whose ids `choose` chooses; rows that have ended are dropped.

    divisor: of the log-probability, by the number of ids, which gives the score
    sentences: [R] which sentence each row belongs to, for the constraints; None: each to its own
    """
    check_max_lengths(rows, max_lengths)
    limits = torch.tensor(max_lengths, dtype=torch.int64)  # [B]
    lengths = torch.zeros(rows, dtype=torch.int64)  # [B]
    totals = torch.zeros(rows, dtype=torch.float64)  # [B] log-probabilities in nats
    written: list[Tensor] = []  # [B] for each step
    weights: list[Tensor] = []  # [B, S] for each step; empty for a model without attention
    active = torch.arange(rows)  # [R] the sentence of each row that is not finished
    prefixes = Prefixes.start(active if sentences is None else sentences)
    previous_ids = torch.full((rows,), bos, device=device)  # [R]
    while len(active):
        output = step(previous_ids, state)
        allowed = all_allowed(constraints, prefixes, output.output_ids) if constraints else None
        gains, ids = choose(output, allowed, active)  # [R]
        writes = gains > float("-inf")  # [R]
        totals[active] += gains.where(writes, 0.0)
        lengths[active] += writes
        written.append(_by_sentence(ids, active, rows))
        if output.weights is not None:
            weights.append(_by_sentence(output.weights.cpu(), active, rows))
        unfinished = writes & (ids != eos) & (lengths[active] < limits[active])  # [R]
        kept = unfinished.nonzero().squeeze(1)  # [R']
        state = output.state
        if 0 < len(kept) < len(active):
            rows_kept = kept.to(output.logits.device)
            state = state.select(rows_kept, rows_kept)
        active, previous_ids = active[kept], ids[kept].to(output.logits.device)
        if constraints:
            prefixes = prefixes.advance(kept, ids[kept])
    divisors = [divisor(length) for length in lengths.tolist()]
    return _hypotheses(written, weights, lengths.tolist(), totals.tolist(), divisors)


def _by_sentence(values: Tensor, active: Tensor, rows: int) -> Tensor:
    """Values of the active rows [R, ...] as values of all sentences [B, ...], 0 for the others."""
    return values.new_zeros(rows, *values.shape[1:]).index_copy(0, active, values)


def _hypotheses(
    written: list[Tensor],
    weights: list[Tensor],
    lengths: list[int],
    totals: list[float],
    divisors: list[float],
) -> list[Hypothesis]:
    """Collect what every step wrote and attended to by sentence, up to each sentence's length."""
    if not lengths:
        return []
    ids = torch.stack(written, dim=1).tolist()  # [B, T]
    alignments = torch.stack(weights, dim=1) if weights else None  # [B, T, S]
    return [
        Hypothesis(
            ids=tuple(ids[i][:length]),
            log_probability=totals[i],
            score=totals[i] / divisors[i],
            weights=None if alignments is None else alignments[i, :length],
        )
        for i, length in enumerate(lengths)
    ]
