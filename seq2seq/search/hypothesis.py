"""The input of search, a step function over rows of hypotheses, and its output, hypotheses."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, Protocol, Self, TypeVar

import torch
from torch import Tensor


class SearchState(Protocol):
    """The state of a model between two steps, with one row for each hypothesis.

    The rows of a sentence are consecutive, and every sentence has as many.
    """

    def select(self, rows: Tensor, sentences: Tensor | None) -> Self:
        """Keep, reorder or repeat rows. rows [R'] int64 -> a state of R' rows.

        sentences [B'] int64: which sentences, of those that the state has, are left; None: all.
        Rows of the same sentence remain rows of the same sentence, so what belongs to a source need
        not be repeated for its rows.
        """
        ...


StateT = TypeVar("StateT", bound=SearchState)


class SearchStep(NamedTuple, Generic[StateT]):
    """The output of a model for the previous ids and the state of R hypotheses."""

    logits: Tensor  # [R, V'] unnormalised, or log-probabilities
    weights: Tensor | None  # [R, S] attention of this step; None for a model without attention
    state: StateT  # R rows
    ids: Tensor | None = None  # [V'] of each logit, ascending, on the CPU; None: 0, 1, 2, ...

    @property
    def output_ids(self) -> Tensor:
        """The id of each logit. [V'] on the CPU"""
        return torch.arange(self.logits.shape[1]) if self.ids is None else self.ids


StepFunction = Callable[[Tensor, StateT], SearchStep[StateT]]
"""(previous ids [R] int64, state of R rows) -> the next step. Search keeps the weights of every
step and changes none of the tensors."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A translation that search found."""

    ids: tuple[int, ...]
    """Without BOS; EOS is last, unless the hypothesis was cut at its maximum length."""
    log_probability: float
    """Nats, summed over `ids`, EOS included: the model's own."""
    score: float
    """`log_probability` / lp + cp, with penalties of length and coverage (Wu et al., 2016, equation
    14); hypotheses are ranked by it."""
    weights: Tensor | None = field(compare=False)
    """[T, S] attention on the CPU, one row for each of `ids`, EOS included."""


def check_max_lengths(rows: int, max_lengths: Sequence[int]) -> None:
    """Raise ValueError unless there is one length for each row, all of them positive."""
    if len(max_lengths) != rows:
        raise ValueError(f"{len(max_lengths)} max_lengths for {rows} rows")
    if rows and min(max_lengths) < 1:
        raise ValueError(f"max_lengths has {min(max_lengths)}; the least is 1")
