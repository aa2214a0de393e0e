"""What search and model agree on: a step over rows, how its logits are read, what is found."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, Protocol, Self, TypeVar

import torch
from torch import Tensor


class SearchState(Protocol):
    """Whatever a model carries from one step to the next, one row a hypothesis."""

    def select(self, rows: Tensor) -> Self:
        """Keep, reorder or repeat rows. rows [R'] int64 -> a state of R' rows."""
        ...


State = TypeVar("State", bound=SearchState)


class SearchStep(NamedTuple, Generic[State]):
    """What a model makes of R previous ids and a state of R rows."""

    logits: Tensor  # [R, V] unnormalised, or log-probabilities
    weights: Tensor | None  # [R, S] attention of this step; None for a model without
    state: State  # R rows


StepFunction = Callable[[Tensor, State], SearchStep[State]]
"""Previous ids [R] int64 and the state they are read in -> the step. Search keeps no tensor of it
but the weights, and changes none."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    ids: tuple[int, ...]
    """Without BOS; with EOS, unless the hypothesis was cut at its longest length."""
    log_probability: float
    """Nats, summed over `ids`, EOS included: the model's own."""
    score: float
    """`log_probability` under the length penalty; what hypotheses are ranked by."""
    weights: Tensor | None = field(compare=False)
    """[T, S] on the CPU, a row for each of `ids`, that of EOS included."""


class Continuations(NamedTuple):
    """The likeliest next ids of each row, best first, the lowest id first where they tie."""

    log_probabilities: Tensor  # [R, C] float64 on the CPU; -inf where there is none
    ids: Tensor  # [R, C] int64 on the CPU


def best_continuations(logits: Tensor, *, count: int, forbidden: Sequence[int]) -> Continuations:
    """logits [R, V] -> at least the `count` best ids a row that are not forbidden, if it has them.

    Forbidden ids have -inf and what they leave is not shared out: every log-probability is
    the model's own, so scoring the same ids again gives the same number. Never is a table of [R, V]
    log-probabilities made: the best logits are taken, and one log-sum-exp a row from them.

    A row that is no distribution (NaN, infinity, no mass at all) has NaN.
    """
    values, ids = _largest(logits, count + len(forbidden))
    log_probabilities = values.double() - _log_sum_exp(logits, values[:, :1]).double()  # [R, C]
    for banned in forbidden:
        log_probabilities = log_probabilities.masked_fill(ids == banned, float("-inf"))
    return Continuations(log_probabilities, ids)


def check_numbers(continuations: Continuations) -> None:
    """Refuse a step whose logits are no distribution, rather than rank NaN."""
    if continuations.log_probabilities.isnan().any():
        raise ValueError("a step gave logits with NaN, with infinity, or with no mass at all")


def check_bounds(rows: int, max_lengths: Sequence[int]) -> None:
    if len(max_lengths) != rows:
        raise ValueError(f"{len(max_lengths)} max_lengths for {rows} rows")
    if rows and min(max_lengths) < 1:
        raise ValueError(f"max_lengths has {min(max_lengths)}; an id needs room")


def _largest(logits: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The largest logits a row and their ids, on the CPU: [R, C] each, C = count or V if less.

    `torch.topk` may return any of several equal values; this returns those with the lowest ids.
    """
    width = min(count + 1, logits.shape[1])  # one more than wanted, to see ties at the edge
    values, ids = logits.topk(width, dim=1)  # [R, C + 1]
    values, ids = values.cpu(), ids.cpu()
    if bool((values[:, 1:] == values[:, :-1]).any()):
        ids, by_id = ids.sort(dim=1)
        values, by_value = values.gather(1, by_id).sort(dim=1, descending=True, stable=True)
        ids = ids.gather(1, by_value)
        edge = values[:, -1:]  # [R, 1]
        # Equals of the edge may have been left out; what has no probability may be any of them.
        torn = (values[:, -2:-1] == edge) & (edge > float("-inf"))  # [R, 1]
        rows = torn.squeeze(1).nonzero().squeeze(1)  # [R']
        if len(rows) and width < logits.shape[1]:
            ids[rows] = _lowest_equal(logits, rows, values[rows], ids[rows])
    return values[:, :count], ids[:, :count]


def _lowest_equal(logits: Tensor, rows: Tensor, values: Tensor, ids: Tensor) -> Tensor:
    """Put the lowest ids among those equal to the last of `values` [R', C] at the end of `ids`."""
    width = values.shape[1]
    edge = values[:, -1:].to(logits.device)  # [R', 1]
    row, place = (logits[rows.to(logits.device)] == edge).nonzero().cpu().unbind(dim=1)  # [n]
    counts = row.bincount(minlength=len(rows))  # [R']
    rank = torch.arange(len(row)) - (counts.cumsum(0) - counts)[row]  # [n] within its row
    first = rank < width
    lowest = torch.zeros_like(ids).index_put((row[first], rank[first]), place[first])  # [R', C]
    above = (values > values[:, -1:]).sum(dim=1, keepdim=True)  # [R', 1]
    position = torch.arange(width) - above  # [R', C]
    return ids.where(position < 0, lowest.gather(1, position.clamp(min=0)))


def _log_sum_exp(logits: Tensor, largest: Tensor) -> Tensor:
    """log sum exp over V, in float32 at least. logits [R, V], largest [R, 1] -> [R, 1] on the CPU.

    Never below `largest`, since exp(0) is in the sum: no log-probability is above 0.
    """
    precision = torch.promote_types(logits.dtype, torch.float32)
    largest = largest.to(logits.device, precision)
    # On a CPU a part at a time: no large table is made, and bfloat16 takes a quarter of the time.
    rows = max(1, _CACHED // logits.shape[1]) if logits.device.type == "cpu" else len(logits)
    sums = [
        (part.to(precision) - peak).exp_().sum(dim=1, keepdim=True)
        for part, peak in zip(torch.split(logits, rows), torch.split(largest, rows), strict=True)
    ]
    return (largest + torch.cat(sums).log()).cpu()


_CACHED = 2**19
"""How many numbers of a log-sum-exp are worked on at once: 2 MiB of float32."""
