"""Recurrent cells and stacks of them, one step at a time.

The input of a cell comes in two parts: inputs that are known beforehand, which are projected for a
whole sequence at once, and an extra input (a context, a readout) that is known only at the step.
Gates lie in PyTorch's order, i f g o or r z n, and the update gate z keeps the old state, as in Cho
et al. (2014), equation 7, and in PyTorch: h' = (1 - z) n + z h. The z of Bahdanau et al. (2015) is
our 1 - z: the same functions with other signs of the weights.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from seq2seq.kernels.dropout import Dropout, uniform_rows
from seq2seq.kernels.products import linear
from seq2seq.kernels.tanh import tanh

_FEWEST_ROWS = 16  # whose equal ones are worth finding


@dataclass(frozen=True, slots=True)
class EqualRows:
    """Which of B rows are equal, as the states of hypotheses that continue the same one.

    What depends on such a row alone is computed once for all that are equal to it.
    """

    first: Tensor  # [P] one row of each group of equal ones
    groups: Tensor  # [B] the group of each row

    @classmethod
    def of(cls, rows: Tensor) -> "EqualRows | None":
        """Those of a selection of rows [B]; None where all differ, and where they are few or on a
        GPU: the products that this saves take no more time there than what it adds."""
        if rows.is_cuda or len(rows) < _FEWEST_ROWS:
            return None
        different, groups = torch.unique(rows, return_inverse=True)
        if len(different) == len(rows):
            return None
        first = torch.empty_like(different).scatter_(0, groups, torch.arange(len(rows)))
        return cls(first, groups)

    def once(self, function: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
        """The function of each row, computed once for equal rows. [B, I] -> [B, G]"""
        return function(inputs.index_select(0, self.first)).index_select(0, self.groups)


@dataclass(frozen=True, slots=True)
class CellState:
    """The state of one layer for B sentences."""

    hidden: Tensor  # [B, H]
    cell: Tensor | None  # [B, H]; None for a GRU
    equal: EqualRows | None = None  # rows that are known to be equal; None: none are

    def select(self, rows: Tensor, equal: EqualRows | None = None) -> "CellState":
        """Keep, reorder or repeat rows. rows [B'] int64, equal: those of the selection"""
        cell = None if self.cell is None else self.cell.index_select(0, rows)
        return CellState(self.hidden.index_select(0, rows), cell, equal)

    def where(self, chosen: Tensor, other: "CellState") -> "CellState":
        """This state in the rows that are chosen, `other` in the rest. chosen [B, 1] bool"""
        hidden = torch.where(chosen, self.hidden, other.hidden)
        if self.cell is None or other.cell is None:
            return CellState(hidden, None)
        return CellState(hidden, torch.where(chosen, self.cell, other.cell))


class GateWeights(NamedTuple):
    """The parameters of a layer, with G rows: 4H for an LSTM, 3H for a GRU."""

    inputs: Tensor  # W [G, I]
    extra: Tensor | None  # W_e [G, X]; None without an extra input
    recurrent: Tensor  # U [G, H]
    bias: Tensor | None = None  # b [G]
    recurrent_bias: Tensor | None = None  # b' [G]; of PyTorch's GRU, inside its reset gate
    recurrent_dropout: float = 0.0  # on the input of U, with one mask for an unroll


class Cell(Protocol):
    """A layer bound to its present weights: sliced once for an unroll, not once a step."""

    def zero_state(self, like: Tensor) -> CellState:
        """Zeros for as many sentences as `like` has rows, of its dtype and on its device."""
        ...

    def project(self, inputs: Tensor) -> Tensor:
        """W x + b, which needs neither a state nor an extra input. [..., I] -> [..., G]"""
        ...

    def project_extra(self, extra_input: Tensor | None) -> Tensor | None:
        """W_e e. [..., X] -> [..., G]; None for a layer without an extra input."""
        ...

    def step(
        self, projected: Tensor, state: CellState, extra_input: Tensor | None = None
    ) -> CellState:
        """The next state. projected [B, G], extra_input [B, X], equal in `state.equal` rows."""
        ...

    def step_projected(
        self, projected: Tensor, state: CellState, projected_extra: Tensor | None
    ) -> CellState:
        """The next state, with both inputs projected. projected [B, G], projected_extra [B, G]"""
        ...


class GatedCell(ABC):
    """The base class of LSTM and GRU cells."""

    has_cell: ClassVar[bool] = False  # an LSTM's state has a cell beside the hidden state

    def __init__(self, weights: GateWeights) -> None:
        self.weights = weights
        self._drop = self._dropout()

    def _dropout(self) -> Callable[[Tensor], Tensor]:
        """Dropout of the input of U, with one mask for an unroll."""
        return Dropout(self.weights.recurrent_dropout, variational=True).for_steps()

    def zero_state(self, like: Tensor) -> CellState:
        hidden = like.new_zeros(len(like), self.weights.recurrent.shape[1])
        return CellState(hidden, torch.zeros_like(hidden) if self.has_cell else None)

    def project(self, inputs: Tensor) -> Tensor:
        return linear(inputs, self.weights.inputs, self.weights.bias)

    def project_extra(self, extra_input: Tensor | None) -> Tensor | None:
        weight = self.weights.extra
        if extra_input is None and weight is None:
            return None
        if extra_input is None or weight is None:
            raise ValueError(
                "a layer with an extra_size needs an extra input at every step, others take none"
            )
        return linear(extra_input, weight)

    def step(
        self, projected: Tensor, state: CellState, extra_input: Tensor | None = None
    ) -> CellState:
        weight = self.weights.extra
        if state.equal is None or weight is None or extra_input is None:
            return self.step_projected(projected, state, self.project_extra(extra_input))
        project_extra = partial(linear, weight=weight)
        return self.step_projected(projected, state, state.equal.once(project_extra, extra_input))

    def project_state(self, state: CellState, addend: Tensor | None = None) -> Tensor:
        """U h, plus the addend. addend [B, G] -> [B, G]"""
        hidden, weight = self._drop(state.hidden), self.weights.recurrent
        if state.equal is None:
            return linear(hidden, weight, addend)
        product = state.equal.once(partial(linear, weight=weight), hidden)
        return product if addend is None else product.add_(addend)

    @abstractmethod
    def step_projected(
        self, projected: Tensor, state: CellState, projected_extra: Tensor | None
    ) -> CellState: ...


class LSTMCell(GatedCell):
    """LSTM (Hochreiter & Schmidhuber, 1997, with the forget gate of Gers et al., 2000).

    [i; f; g; o] = W x + W_e e + U h + b;  c' = sig(f) c + sig(i) tanh(g);  h' = sig(o) tanh(c')
    """

    has_cell = True

    def step_projected(
        self, projected: Tensor, state: CellState, projected_extra: Tensor | None
    ) -> CellState:
        assert state.cell is not None
        gates = self.project_state(state, _sum(projected, projected_extra))  # [B, 4H]
        cell, output_gate = _lstm_cell(gates, state.cell)
        return CellState(output_gate * tanh(cell), cell)


class LayerNormLSTMCell(GatedCell):
    """LSTM with layer normalisation: Ba et al. (2016), equations 20 to 22.

    [i; f; g; o] = LN(W [x; e]) + LN(U h) + b;  c' = sig(f) c + sig(i) tanh(g);
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
        """W x, normalised here without an extra input, else in the step. [..., I] -> [..., 4H]"""
        projected = linear(inputs, self.weights.inputs)
        return projected if self.weights.extra is not None else self._normalise(projected)

    def step_projected(
        self, projected: Tensor, state: CellState, projected_extra: Tensor | None
    ) -> CellState:
        assert state.cell is not None
        if projected_extra is not None:
            projected = self._normalise(projected + projected_extra)
        gates = projected + self.normalise_recurrent(self.project_state(state))  # [B, 4H]
        cell, output_gate = _lstm_cell(gates, state.cell)
        return CellState(output_gate * tanh(self.normalise_cell(cell)), cell)

    def _normalise(self, projected: Tensor) -> Tensor:
        """LN(W [x; e]) + b. [..., 4H] -> [..., 4H]"""
        return _sum(self.normalise_inputs(projected), self.weights.bias)


class GRUCell(GatedCell):
    """GRU, the reset gate after the product, as in Nematus and PyTorch (after Cho et al., 2014).

    r, z = sig(W x + W_e e + U h + b);  n = tanh(W x + W_e e + b + r o (U h + b'));
    h' = (1 - z) o n + z o h
    """

    def step_projected(
        self, projected: Tensor, state: CellState, projected_extra: Tensor | None
    ) -> CellState:
        recurrent = _sum(self.project_state(state), self.weights.recurrent_bias)  # [B, 3H]
        return _gru_state(_sum(projected, projected_extra), recurrent, state.hidden)


class ChoGRUCell(GatedCell):
    """The decoder's GRU of Cho et al. (2014), appendix A: r acts on the extra input, the summary.

    r, z = sig(W x + C e + U h + b);  n = tanh(W x + b + r o (U h + C e));
    h' = (1 - z) o n + z o h
    """

    def step_projected(
        self, projected: Tensor, state: CellState, projected_extra: Tensor | None
    ) -> CellState:
        recurrent = self.project_state(state, projected_extra)  # [B, 3H]
        return _gru_state(projected, recurrent, state.hidden)


class ResetBeforeGRUCell(GatedCell):
    """GRU, the reset gate before the product.

    The encoder of Cho et al. (2014), equations 5 to 8, and both sides of Bahdanau et al. (2015),
    appendix A.2: r, z = sig(W x + W_e e + U h + b);  n = tanh(W x + W_e e + U (r o h) + b);
    h' = (1 - z) o n + z o h
    """

    def __init__(self, weights: GateWeights) -> None:
        super().__init__(weights)
        size = weights.recurrent.shape[1]
        self.for_gates, self.for_new = torch.split(weights.recurrent, [2 * size, size])
        self._drop_reset = self._dropout()

    def step_projected(
        self, projected: Tensor, state: CellState, projected_extra: Tensor | None
    ) -> CellState:
        hidden, size = state.hidden, state.hidden.shape[-1]
        gates_x, new_x = torch.split(_sum(projected, projected_extra), [2 * size, size], dim=-1)
        gates = linear(self._drop(hidden), self.for_gates, gates_x)  # [B, 2H]
        reset, update = gates.sigmoid().chunk(2, dim=-1)
        new = tanh(linear(self._drop_reset(reset * hidden), self.for_new, new_x))  # [B, H]
        return CellState(new + update * (hidden - new), None)


class ZoneoutCell:
    """A cell some of whose entries keep their old values: Krueger et al. (2017), equation 2.

    While training each entry of hidden state and cell is kept with probability p; otherwise the
    state is p times the old one plus 1 - p times the new one.
    """

    def __init__(self, inner: Cell, p: float, *, training: bool) -> None:
        self.inner = inner
        self.p = p
        self.training = training

    def zero_state(self, like: Tensor) -> CellState:
        return self.inner.zero_state(like)

    def project(self, inputs: Tensor) -> Tensor:
        return self.inner.project(inputs)

    def project_extra(self, extra_input: Tensor | None) -> Tensor | None:
        return self.inner.project_extra(extra_input)

    def step(
        self, projected: Tensor, state: CellState, extra_input: Tensor | None = None
    ) -> CellState:
        return self._mixed(self.inner.step(projected, state, extra_input), state)

    def step_projected(
        self, projected: Tensor, state: CellState, projected_extra: Tensor | None
    ) -> CellState:
        return self._mixed(self.inner.step_projected(projected, state, projected_extra), state)

    def _mixed(self, new: CellState, state: CellState) -> CellState:
        hidden = self._mix(new.hidden, state.hidden)
        if new.cell is None or state.cell is None:
            return CellState(hidden, None)
        return CellState(hidden, self._mix(new.cell, state.cell))

    def _mix(self, new: Tensor, old: Tensor) -> Tensor:
        if not self.training:
            return torch.lerp(new, old, self.p)
        return torch.where(
            uniform_rows(new.shape, device=new.device, dtype=new.dtype) < self.p, old, new
        )


@dataclass(frozen=True, slots=True)
class CellNoise:
    """Noise inside a cell while training."""

    recurrent_dropout: float = 0.0  # of the state before U (Gal & Ghahramani, 2016)
    zoneout: float = 0.0  # of state and cell (Krueger et al., 2017)

    def is_active(self, *, training: bool) -> bool:
        """Whether a cell has noise now: if not, a fused layer may process a whole sequence."""
        return bool(self.zoneout or (training and self.recurrent_dropout))

    def wrap(
        self, build: Callable[[GateWeights], Cell], weights: GateWeights, *, training: bool
    ) -> Cell:
        """The cell that `build` makes of these weights, with this noise."""
        if training:
            weights = weights._replace(recurrent_dropout=self.recurrent_dropout)
        cell = build(weights)
        return ZoneoutCell(cell, self.zoneout, training=training) if self.zoneout else cell


NO_NOISE = CellNoise()


class CellStack(NamedTuple):
    """The cells of a recurrent stack, lowest first: one step of all layers."""

    cells: Sequence[Cell]
    dropout: Callable[[Tensor], Tensor]  # between layers, bound to one unroll
    residual_from: int | None = None  # the first residual layer; the lowest is 1

    def project(self, inputs: Tensor) -> Tensor:
        """W x + b of the lowest layer. [..., I] -> [..., G]"""
        return self.cells[0].project(inputs)

    def step(
        self,
        projected: Tensor,
        states: Sequence[CellState],
        extra_input: Tensor | None = None,
        upper_extra_input: Tensor | None = None,
    ) -> tuple[tuple[CellState, ...], Tensor]:
        """The next state of every layer, lowest first, and the output [B, H] of the stack.

        projected [B, G], extra_input [B, X] of the lowest layer, upper_extra_input [B, X'] of each
        of the others
        """
        lowest = self.step_lowest(projected, states[0], extra_input)
        upper, output = self.step_upper(lowest.hidden, states[1:], upper_extra_input)
        return (lowest, *upper), output

    def step_lowest(
        self, projected: Tensor, state: CellState, extra_input: Tensor | None = None
    ) -> CellState:
        """The next state of the lowest layer. projected [B, G], extra_input [B, X]"""
        return self.cells[0].step(projected, state, extra_input)

    def step_upper(
        self, hidden: Tensor, states: Sequence[CellState], extra_input: Tensor | None = None
    ) -> tuple[tuple[CellState, ...], Tensor]:
        """The next states of the layers above the lowest, whose hidden state is `hidden` [B, H].

        extra_input [B, X']. Also returns the output [B, H] of the stack, which differs from the top
        layer's hidden state where that layer is residual.
        """
        output, residual = hidden, None
        next_states: list[CellState] = []
        upper = zip(self.cells[1:], states, strict=True)
        for layer, (cell, state) in enumerate(upper, start=2):
            inputs = add_residual(self.dropout(output), residual)  # [B, H]
            extra = cell.project_extra(extra_input)
            next_states.append(cell.step_projected(cell.project(inputs), state, extra))
            output = next_states[-1].hidden
            residual = inputs if is_residual(layer, self.residual_from) else None
        return tuple(next_states), add_residual(output, residual)


def is_residual(layer: int, residual_from: int | None) -> bool:
    """Whether a layer adds its input to its output; the lowest layer is 1."""
    return residual_from is not None and layer >= residual_from


def add_residual(output: Tensor, residual: Tensor | None) -> Tensor:
    """Wu et al. (2016), equation 6: x^i = m^i + x^{i-1}, where there is a residual connection."""
    return output if residual is None else output + residual


def _sum(one: Tensor, other: Tensor | None) -> Tensor:
    return one if other is None else one + other


def _lstm_cell(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """sig(f) c + sig(i) tanh(g) and sig(o). gates [B, 4H], cell [B, H] -> [B, H], [B, H]"""
    i, f, g, o = gates.chunk(4, dim=-1)
    return f.sigmoid() * cell + i.sigmoid() * tanh(g), o.sigmoid()


def _gru_state(projected: Tensor, recurrent: Tensor, hidden: Tensor) -> CellState:
    """A GRU whose reset gate acts on all of `recurrent`. [B, 3H], [B, 3H], [B, H]"""
    size = hidden.shape[-1]
    gates_x, new_x = torch.split(projected, [2 * size, size], dim=-1)
    gates_h, new_h = torch.split(recurrent, [2 * size, size], dim=-1)
    reset, update = (gates_x + gates_h).sigmoid().chunk(2, dim=-1)  # [B, H] each
    new = tanh(new_x + reset * new_h)
    return CellState(new + update * (hidden - new), None)
