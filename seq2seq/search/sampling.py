"""Sampling: ids are drawn from the model's distribution, or from the likeliest ids in it."""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from seq2seq.search.constraints import Constraint
from seq2seq.search.continuations import refuse_nan
from seq2seq.search.greedy import write_one_each
from seq2seq.search.hypothesis import Hypothesis, SearchStep, StateT, StepFunction
from seq2seq.search.penalties import LengthDivisors, LengthNormalization, check_alpha


@torch.no_grad()
def sample(
    step: StepFunction[StateT],
    state: StateT,
    *,
    uniforms: Tensor,
    bos: int,
    eos: int,
    max_lengths: Sequence[int],
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    length_penalty: float = 0.6,
    length_normalization: LengthNormalization = "wu",
    forbidden: Sequence[int] = (),
    constraints: Sequence[Constraint] = (),
    sentences: Tensor | None = None,
    device: torch.device | str = "cpu",
) -> list[Hypothesis]:
    """One hypothesis for each row of `state`, each of its ids drawn.

    sentences [R]: which sentence each row is a sample of, for the constraints; None: each of its
    own

    Ids that are forbidden, or that a constraint hides, are left out; then logits are divided by
    the temperature, all but the `top_k` likeliest ids are left out (0: none), and then all but the
    likeliest ids that together have a probability of `top_p` (nucleus sampling, Holtzman et al.,
    2020, section 3.1). The id is the first whose cumulated probability exceeds uniforms[row, t],
    uniform in [0, 1), so nothing else decides it. Log-probabilities are the model's own, at
    temperature 1 over all ids.
    """
    check_alpha(length_penalty)
    if not temperature > 0 or top_k < 0 or not 0 < top_p <= 1:
        raise ValueError(f"temperature {temperature}, top_k {top_k}, top_p {top_p}")
    steps = 0

    def drawn(
        output: SearchStep[StateT], allowed: Tensor | None, active: Tensor
    ) -> tuple[Tensor, Tensor]:
        nonlocal steps
        logits = output.logits.double().cpu()  # [R, V']
        log_probabilities = logits.log_softmax(-1)
        refuse_nan(log_probabilities)
        ids = output.output_ids
        excluded = torch.isin(ids, torch.tensor(forbidden, dtype=torch.int64)).unsqueeze(0)
        if allowed is not None:
            excluded = excluded | ~allowed
        scaled = logits.masked_fill(excluded, float("-inf")) / temperature
        columns = _draw(_top(scaled, top_k, top_p), uniforms[active, steps])  # [R]
        steps += 1
        gains = log_probabilities.masked_fill(excluded, float("-inf"))
        return gains.gather(1, columns.unsqueeze(1)).squeeze(1), ids[columns]

    return write_one_each(
        step,
        state,
        drawn,
        rows=len(uniforms),
        bos=bos,
        eos=eos,
        max_lengths=max_lengths,
        divisor=LengthDivisors(length_penalty, length_normalization).of,
        constraints=constraints,
        sentences=sentences,
        device=device,
    )


def uniform_numbers(seed: int, source: Sequence[int], *, samples: int, length: int) -> Tensor:
    """Numbers in [0, 1) that depend on the seed, the source and the number of the sample alone.

    So a sentence has the same samples in any file, at any place of it. -> [samples, length] float64
    """
    rows = []
    for number in range(samples):
        name = f"sample:{seed}:{number}:{','.join(map(str, source))}".encode()
        own_seed = int.from_bytes(hashlib.sha256(name).digest()[:7], "big")
        generator = torch.Generator().manual_seed(own_seed)
        rows.append(torch.rand(length, generator=generator, dtype=torch.float64))
    return torch.stack(rows)


def _top(scaled: Tensor, top_k: int, top_p: float) -> Tensor:
    """Probabilities [R, V'] of the scaled logits, 0 for those that are cut off."""
    if 0 < top_k < scaled.shape[1]:
        order = scaled.argsort(dim=1, descending=True, stable=True)
        scaled = scaled.scatter(1, order[:, top_k:], float("-inf"))
    probabilities = scaled.softmax(-1)
    if top_p < 1:
        ranked, order = probabilities.sort(dim=1, descending=True, stable=True)
        before = ranked.cumsum(dim=1) - ranked  # of the likelier ids together
        probabilities = probabilities.scatter(1, order, ranked.masked_fill(before >= top_p, 0.0))
    return probabilities.nan_to_num(0.0)  # a row in which nothing may be written


def _draw(probabilities: Tensor, uniforms: Tensor) -> Tensor:
    """The column of each row that its number chooses. [R, V'] and [R] -> [R]"""
    cumulated = probabilities.cumsum(dim=1)
    targets = uniforms.unsqueeze(1) * cumulated[:, -1:]
    columns = torch.searchsorted(cumulated, targets, right=True).squeeze(1)
    last = probabilities.shape[1] - 1 - probabilities.flip(1).gt(0).int().argmax(dim=1)
    return columns.minimum(last)  # rounding may lead beyond the last one that has any
