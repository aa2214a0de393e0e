"""Recurrent cells, one step at a time.

What a cell reads comes in two parts: its inputs (known beforehand: projected for a whole sequence
at once) and what is fed back from the step before (projected when it is there). Gates lie in
PyTorch's order, i f g o or r z n, and the update gate z keeps the old state, as in Cho et al.
(2014), equation 7, and in PyTorch: h' = (1 - z) n + z h. The z of Bahdanau et al. (2015) is our
1 - z: the same functions of other signs of the weights.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq.kernels.deferred_gradients import DeferredGradLinear


@dataclass(frozen=True, slots=True)
class CellState:
    """The state of one layer for B sentences."""

    hidden: Tensor  # [B, H]
    cell: Tensor | None  # [B, H]; None for a GRU

    def select(self, rows: Tensor) -> "CellState":
        return CellState(self.hidden[rows], None if self.cell is None else self.cell[rows])

    def where(self, chosen: Tensor, other: "CellState") -> "CellState":
        """This state in the rows that are chosen, `other` in the rest. chosen [B, 1] bool"""
        hidden = torch.where(chosen, self.hidden, other.hidden)
        if self.cell is None or other.cell is None:
            return CellState(hidden, None)
        return CellState(hidden, torch.where(chosen, self.cell, other.cell))


class GateWeights(NamedTuple):
    """The parameters of a layer with G rows: 4H for an LSTM, 3H for a GRU."""

    inputs: Tensor  # [G, I]
    fed: Tensor | None  # [G, F]; None where nothing is fed back
    recurrent: Tensor  # [G, H]
    bias: Tensor | None = None  # [G]
    recurrent_bias: Tensor | None = None  # [G]; PyTorch's GRU resets this one
    dropout: float = 0.0  # of what the recurrent weights read, one mask an unroll


class Cell(ABC):
    """A layer's weights for the length of one unroll: sliced once, not once a step."""

    has_cell: ClassVar[bool] = False  # an LSTM's state has a cell beside the hidden part

    def __init__(self, weights: GateWeights) -> None:
        self.weights = weights
        self.fed = None if weights.fed is None else DeferredGradLinear(weights.fed)

    @cached_property
    def recurrent(self) -> DeferredGradLinear:
        """U h"""
        return DeferredGradLinear(self.weights.recurrent, dropout=self.weights.dropout)

    def start(self, like: Tensor) -> CellState:
        """A state of zeros for as many sentences as `like` has rows, of its type and device."""
        hidden = like.new_zeros(len(like), self.weights.recurrent.shape[1])
        return CellState(hidden, torch.zeros_like(hidden) if self.has_cell else None)

    def project(self, inputs: Tensor) -> Tensor:
        """What of the gates needs no state and nothing fed back. [..., I] -> [..., G]"""
        return F.linear(inputs, self.weights.inputs, self.weights.bias)

    def project_fed(self, fed: Tensor | None) -> Tensor | None:
        """What of the gates comes from what is fed back. [..., F] -> [..., G]"""
        if fed is None and self.fed is None:
            return None
        if fed is None or self.fed is None:
            raise ValueError("a layer with a fed_size is fed at every step, any other never")
        return self.fed(fed)

    def advance(self, projected: Tensor, state: CellState, fed: Tensor | None = None) -> CellState:
        """One step. projected [B, G], fed [B, F]"""
        return self.step(projected, state, self.project_fed(fed))

    @abstractmethod
    def step(self, given: Tensor, state: CellState, fed: Tensor | None) -> CellState:
        """One step from projections. given [B, G], fed [B, G]"""


class LSTMCell(Cell):
    """LSTM (Hochreiter & Schmidhuber, 1997, with the forget gate of Gers et al., 2000).

    [i; f; g; o] = W x + W_f fed + U h + b;  c' = sig(f) c + sig(i) tanh(g);  h' = sig(o) tanh(c')
    """

    has_cell = True

    def step(self, given: Tensor, state: CellState, fed: Tensor | None) -> CellState:
        assert state.cell is not None
        gates = self.recurrent(state.hidden, _sum(given, fed))  # [B, 4H]
        cell, output = _remember(gates, state.cell)
        return CellState(output * cell.tanh(), cell)


class LayerNormLSTMCell(Cell):
    """LSTM with layer normalisation: Ba et al. (2016), equations 20 to 22.

    [i; f; g; o] = LN(W [x; fed]) + LN(U h) + b;  c' = sig(f) c + sig(i) tanh(g);
    h' = sig(o) tanh(LN(c')). Each LN has a gain and a bias of its own; 1e-5 is added to the
    variance.
    """

    has_cell = True

    def __init__(
        self, weights: GateWeights, inputs: nn.Module, recurrent: nn.Module, cell: nn.Module
    ) -> None:
        super().__init__(weights)
        self.normalise_inputs = inputs
        self.normalise_recurrent = recurrent
        self.normalise_cell = cell

    def project(self, inputs: Tensor) -> Tensor:
        """Normalised here where nothing is fed back, else in the step. [..., I] -> [..., 4H]"""
        projected = F.linear(inputs, self.weights.inputs)
        return projected if self.weights.fed is not None else self._normalise(projected)

    def step(self, given: Tensor, state: CellState, fed: Tensor | None) -> CellState:
        assert state.cell is not None
        if fed is not None:
            given = self._normalise(given + fed)
        gates = given + self.normalise_recurrent(self.recurrent(state.hidden))  # [B, 4H]
        cell, output = _remember(gates, state.cell)
        return CellState(output * self.normalise_cell(cell).tanh(), cell)

    def _normalise(self, projected: Tensor) -> Tensor:
        """LN(W [x; fed]) + b. [..., 4H] -> [..., 4H]"""
        return _sum(self.normalise_inputs(projected), self.weights.bias)


class GRUCell(Cell):
    """GRU, the reset gate after the product, as in Nematus and PyTorch (after Cho et al., 2014).

    r, z = sig(W x + W_f fed + U h + b);  n = tanh(W x + W_f fed + b + r o (U h + b'));
    h' = (1 - z) o n + z o h
    """

    def step(self, given: Tensor, state: CellState, fed: Tensor | None) -> CellState:
        bias = self.weights.recurrent_bias
        recurrent = _sum(self.recurrent(state.hidden), bias)  # [B, 3H]
        return _reset_after(_sum(given, fed), recurrent, state.hidden)


class ChoGRUCell(Cell):
    """The decoder's GRU of Cho et al. (2014), appendix A: r reaches what is fed, the summary.

    r, z = sig(W x + C fed + U h + b);  n = tanh(W x + b + r o (U h + C fed));
    h' = (1 - z) o n + z o h
    """

    def step(self, given: Tensor, state: CellState, fed: Tensor | None) -> CellState:
        recurrent = self.recurrent(state.hidden, fed)  # [B, 3H]
        return _reset_after(given, recurrent, state.hidden)


class ResetBeforeGRUCell(Cell):
    """GRU, the reset gate before the product.

    The encoder of Cho et al. (2014), equations 5 to 8, and both sides of Bahdanau et al. (2015),
    appendix A.2: r, z = sig(W x + W_f fed + U h + b);  n = tanh(W x + W_f fed + U (r o h) + b);
    h' = (1 - z) o n + z o h
    """

    def __init__(self, weights: GateWeights) -> None:
        super().__init__(weights)
        size = weights.recurrent.shape[1]
        for_gates, for_new = torch.split(weights.recurrent, [2 * size, size])
        self.for_gates = DeferredGradLinear(for_gates, dropout=weights.dropout)
        self.for_new = DeferredGradLinear(for_new, dropout=weights.dropout)

    def step(self, given: Tensor, state: CellState, fed: Tensor | None) -> CellState:
        hidden, size = state.hidden, state.hidden.shape[-1]
        gates_x, new_x = torch.split(_sum(given, fed), [2 * size, size], dim=-1)
        reset, update = self.for_gates(hidden, gates_x).sigmoid().chunk(2, dim=-1)
        new = self.for_new(reset * hidden, new_x).tanh()  # [B, H]
        return CellState(new + update * (hidden - new), None)


class ZoneoutCell(Cell):
    """A cell some of whose entries stay as they were: Krueger et al. (2017), equation 2.

    Each entry of hidden state and cell is kept with probability p while training; else the old
    and the new value are mixed, p of the old.
    """

    def __init__(self, inner: Cell, p: float, *, training: bool) -> None:
        self.inner = inner
        self.p = p
        self.training = training

    def start(self, like: Tensor) -> CellState:
        return self.inner.start(like)

    def project(self, inputs: Tensor) -> Tensor:
        return self.inner.project(inputs)

    def project_fed(self, fed: Tensor | None) -> Tensor | None:
        return self.inner.project_fed(fed)

    def step(self, given: Tensor, state: CellState, fed: Tensor | None) -> CellState:
        new = self.inner.step(given, state, fed)
        hidden = self._mix(new.hidden, state.hidden)
        if new.cell is None or state.cell is None:
            return CellState(hidden, None)
        return CellState(hidden, self._mix(new.cell, state.cell))

    def _mix(self, new: Tensor, old: Tensor) -> Tensor:
        if not self.training:
            return torch.lerp(new, old, self.p)
        return torch.where(torch.rand_like(new) < self.p, old, new)


@dataclass(frozen=True, slots=True)
class CellNoise:
    """What disturbs a cell's states while training."""

    recurrent_dropout: float = 0.0  # of what its recurrent weights read (Gal & Ghahramani, 2016)
    zoneout: float = 0.0  # of state and cell (Krueger et al., 2017)

    def acts(self, *, training: bool) -> bool:
        """Whether there is anything to do: if not, a library call may read a whole sequence."""
        return bool(self.zoneout or (training and self.recurrent_dropout))

    def around(
        self, build: Callable[[GateWeights], Cell], weights: GateWeights, *, training: bool
    ) -> Cell:
        """A cell of these weights, disturbed."""
        if training:
            weights = weights._replace(dropout=self.recurrent_dropout)
        cell = build(weights)
        return ZoneoutCell(cell, self.zoneout, training=training) if self.zoneout else cell


NO_NOISE = CellNoise()


def _sum(one: Tensor, other: Tensor | None) -> Tensor:
    return one if other is None else one + other


def _remember(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """sig(f) c + sig(i) tanh(g) and sig(o). gates [B, 4H], cell [B, H] -> [B, H], [B, H]"""
    i, f, g, o = gates.chunk(4, dim=-1)
    return f.sigmoid() * cell + i.sigmoid() * g.tanh(), o.sigmoid()


def _reset_after(given: Tensor, recurrent: Tensor, hidden: Tensor) -> CellState:
    """A GRU whose reset gate reaches all of `recurrent`. [B, 3H], [B, 3H], [B, H]"""
    size = hidden.shape[-1]
    gates_x, new_x = torch.split(given, [2 * size, size], dim=-1)
    gates_h, new_h = torch.split(recurrent, [2 * size, size], dim=-1)
    reset, update = (gates_x + gates_h).sigmoid().chunk(2, dim=-1)  # [B, H] each
    new = (new_x + reset * new_h).tanh()
    return CellState(new + update * (hidden - new), None)
