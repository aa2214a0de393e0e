"""Greedy search: the likeliest next id of every sentence, again and again until EOS."""

from collections.abc import Sequence

import torch
from torch import Tensor

from seq2seq.search.continuations import best_continuations, refuse_nan
from seq2seq.search.hypothesis import (
    Hypothesis,
    SearchStep,
    StateT,
    StepFunction,
    check_max_lengths,
)
from seq2seq.search.penalties import check_alpha, length_divisor


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
    forbidden: Sequence[int] = (),
    device: torch.device | str = "cpu",
) -> list[Hypothesis]:
    """One hypothesis for each sentence; `state` has one row for each of the `rows` sentences.

    `max_lengths[i]` bounds the ids of sentence i, EOS included; a hypothesis without EOS by then
    is cut. `forbidden` ids (BOS, PAD) are never written; log-probabilities stay the model's own,
    not redistributed over the other ids. If only forbidden ids have any probability, the
    hypothesis is cut there. Of equal logits the lowest id wins. `length_penalty` changes only the
    reported score.
    """
    check_max_lengths(rows, max_lengths)
    check_alpha(length_penalty)
    limits = torch.tensor(max_lengths, dtype=torch.int64)  # [B]
    lengths = torch.zeros(rows, dtype=torch.int64)  # [B]
    totals = torch.zeros(rows, dtype=torch.float64)  # [B] log-probabilities in nats
    written: list[Tensor] = []  # [B] for each step
    weights: list[Tensor] = []  # [B, S] for each step; empty for a model without attention
    active = torch.arange(rows)  # [R] the sentence of each row that is not finished
    previous_ids = torch.full((rows,), bos, device=device)  # [R]
    while len(active):
        output = step(previous_ids, state)
        gains, ids = _likeliest(output, forbidden)  # [R]
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
    divisors = [length_divisor(length, alpha=length_penalty) for length in lengths.tolist()]
    return _hypotheses(written, weights, lengths.tolist(), totals.tolist(), divisors)


def _likeliest(step: SearchStep[StateT], forbidden: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Log-probability [R] and id [R] of each row's likeliest id that is not forbidden."""
    best = best_continuations(step.logits, count=1, forbidden=forbidden, ids=step.ids)
    refuse_nan(best.log_probabilities)
    gains, first = best.log_probabilities.max(dim=1, keepdim=True)  # [R, 1], first of equals
    return gains.squeeze(1), best.ids.gather(1, first).squeeze(1)


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
