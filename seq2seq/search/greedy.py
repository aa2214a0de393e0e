"""Greedy search: the locally best continuation of every sentence."""

from collections.abc import Sequence

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
def greedy_search(
    step: StepFunction[State],
    state: State,
    *,
    rows: int,
    bos: int,
    eos: int,
    max_lengths: Sequence[int],
    length_penalty: float = 0.6,
    forbidden: Sequence[int] = (),
    device: torch.device | str = "cpu",
) -> list[Hypothesis]:
    """One hypothesis a sentence, for a state with one row a sentence.

    `max_lengths[i]` bounds the ids of sentence i, EOS included; one that has no EOS by then is cut.
    `forbidden` ids (BOS, PAD) are never written; log-probabilities stay the model's own, not
    shared out again over the other ids. If all a row's mass is on them, it is cut there.
    Of equal logits the lowest id wins. `length_penalty` changes only the reported score.
    """
    check_bounds(rows, max_lengths)
    check_alpha(length_penalty)
    room = torch.tensor(max_lengths, dtype=torch.int64)  # [B]
    lengths = torch.zeros(rows, dtype=torch.int64)  # [B]
    totals = torch.zeros(rows, dtype=torch.float64)  # [B] nats
    written: list[Tensor] = []  # a step: [B]
    attended: list[Tensor] = []  # a step: [B, S]
    active = torch.arange(rows)  # [R] the sentence of each row that is still searched
    previous = torch.full((rows,), bos, device=device)  # [R]
    while len(active):
        made = step(previous, state)
        best = best_continuations(made.logits, count=1, forbidden=forbidden)
        check_numbers(best)
        gains, places = best.log_probabilities.max(dim=1, keepdim=True)  # [R, 1], first of equals
        gains, chosen = gains.squeeze(1), best.ids.gather(1, places).squeeze(1)  # [R]
        writes = gains > float("-inf")  # [R]
        totals[active] += gains.where(writes, 0.0)
        lengths[active] += writes
        written.append(torch.zeros(rows, dtype=torch.int64).index_copy(0, active, chosen))
        if made.weights is not None:
            weights = made.weights.cpu()  # [R, S]
            attended.append(
                weights.new_zeros(rows, weights.shape[1]).index_copy(0, active, weights)
            )
        stays = writes & (chosen != eos) & (lengths[active] < room[active])  # [R]
        kept = stays.nonzero().squeeze(1)  # [R']
        active, previous = active[kept], chosen[kept].to(made.logits.device)
        if len(kept):
            leave = len(kept) < len(stays)
            state = made.state.select(kept.to(made.logits.device)) if leave else made.state
    if not rows:
        return []
    ids = torch.stack(written, dim=1).tolist()  # [B, T]
    alignments = torch.stack(attended, dim=1) if attended else None  # [B, T, S]
    return [
        Hypothesis(
            ids=tuple(ids[i][:length]),
            log_probability=total,
            score=total / length_divisor(length, alpha=length_penalty),
            weights=None if alignments is None else alignments[i, :length],
        )
        for i, (length, total) in enumerate(zip(lengths.tolist(), totals.tolist(), strict=True))
    ]
