"""Numbers that are added to a few of many logits."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor


class LogitBias(NamedTuple):
    """U numbers for each row of logits, and the columns that they are added to.

    A column may come several times with the value 0.
    """

    columns: Tensor  # [..., U] int64
    values: Tensor  # [..., U]

    def at(self, rows: Any) -> LogitBias:
        """The bias of some rows, by any index of the dimensions before U."""
        return LogitBias(self.columns[rows], self.values[rows])

    def flatten(self) -> LogitBias:
        """One dimension of rows. [B, T, U] -> [B T, U]"""
        return LogitBias(self.columns.flatten(0, 1), self.values.flatten(0, 1))

    def added_to(self, logits: Tensor) -> Tensor:
        """The sum of both. [..., V] -> [..., V]"""
        return logits.scatter_add(-1, self.columns, self.values.to(logits.dtype))

    def add_to(self, logits: Tensor) -> None:
        """Add it to logits [..., V] in place; this has no gradient."""
        logits.scatter_add_(-1, self.columns, self.values.to(logits.dtype))
