"""Recurrent layers one on the other, and the bridge that gives them their first state."""

from collections.abc import Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn

from seq2seq.config import CellKind
from seq2seq.kernels.dropout import Dropout
from seq2seq.recurrent.cells import NO_NOISE, CellNoise, CellState
from seq2seq.recurrent.layers import LAYERS, RecurrentLayer

BridgeKind = Literal["zero", "copy", "tanh"]


class RecurrentStack(nn.Module):
    """Layers one on the other, dropout between them.

    What is fed back enters the lowest layer; the upper layers may be fed something of their own,
    as in GNMT (Wu et al., 2016). From layer `residual_from` on (the lowest is 1), what a layer
    reads from the one below is added to what it makes, after dropout (the same paper, equation 6);
    the lowest has none below and adds nothing.
    """

    def __init__(
        self,
        *,
        cell: CellKind,
        input_size: int,
        hidden_size: int,
        layers: int,
        fed_size: int = 0,
        upper_fed_size: int = 0,
        residual_from: int | None = None,
        dropout: float = 0.0,
        variational: bool = False,
        noise: CellNoise = NO_NOISE,
        biases: bool = True,
    ) -> None:
        super().__init__()
        sizes = [(input_size, fed_size)] + [(hidden_size, upper_fed_size)] * (layers - 1)
        self.residual_from = residual_from
        self.dropout = Dropout(dropout, variational=variational)
        self.layers = nn.ModuleList(
            LAYERS[cell](
                input_size=read,
                hidden_size=hidden_size,
                fed_size=fed,
                biases=biases,
                noise=noise,
            )
            for read, fed in sizes
        )

    def stepper(self) -> "StackStepper":
        """The stack one step at a time, with the weights as they are now."""
        return StackStepper(self)

    def unroll(
        self,
        inputs: Tensor,
        states: Sequence[CellState],
        fed: Tensor | None = None,
        upper_fed: Tensor | None = None,
    ) -> Tensor:
        """Every output of a sequence, where all that is fed is known beforehand.

        inputs [B, T, I], fed [B, T, F], upper_fed [B, T, F'] -> [B, T, H]
        """
        hidden = self.unroll_lowest(inputs, states[0], fed)
        return self.unroll_upper(hidden, states[1:], upper_fed)

    def unroll_lowest(self, inputs: Tensor, state: CellState, fed: Tensor | None = None) -> Tensor:
        """inputs [B, T, I], fed [B, T, F] -> the lowest layer's states [B, T, H]"""
        return self.each_layer()[0].unroll(inputs, state, fed)

    def unroll_upper(
        self, hidden: Tensor, states: Sequence[CellState], fed: Tensor | None = None
    ) -> Tensor:
        """The lowest layer's states [B, T, H], fed [B, T, F'] -> the stack's outputs [B, T, H]"""
        made, carried = hidden, None
        upper = zip(self.each_layer()[1:], states, strict=True)
        for number, (layer, state) in enumerate(upper, start=2):
            read = _carried_on(self.dropout(made), carried)  # [B, T, H]
            made = layer.unroll(read, state, fed)
            carried = read if self.is_residual(number) else None
        return made if carried is None else made + carried

    def is_residual(self, number: int) -> bool:
        """Whether a layer adds what it reads; the lowest is number 1."""
        return self.residual_from is not None and number >= self.residual_from

    def each_layer(self) -> list[RecurrentLayer]:
        return cast(list[RecurrentLayer], list(self.layers))


class StackStepper:
    """A stack for the length of one unroll: its weights are sliced once, not once a step."""

    def __init__(self, stack: RecurrentStack) -> None:
        self.stack = stack
        self.dropout = stack.dropout.looped()
        self.cells = [layer.cell() for layer in stack.each_layer()]

    def project(self, inputs: Tensor) -> Tensor:
        """The lowest gates, as far as they need no state and nothing fed. [..., I] -> [..., G]"""
        return self.cells[0].project(inputs)

    def lowest(self, projected: Tensor, state: CellState, fed: Tensor | None = None) -> CellState:
        """One step of the lowest layer. projected [B, G], fed [B, F]"""
        return self.cells[0].advance(projected, state, fed)

    def upper(
        self, hidden: Tensor, states: Sequence[CellState], fed: Tensor | None = None
    ) -> tuple[tuple[CellState, ...], Tensor]:
        """One step of the layers above the lowest, from its hidden state [B, H]. fed [B, F']

        Returns their states and the output [B, H], which differs from the top layer's hidden
        state where that layer is residual.
        """
        made, carried = hidden, None
        after: list[CellState] = []
        upper = zip(self.cells[1:], states, strict=True)
        for number, (cell, state) in enumerate(upper, start=2):
            read = _carried_on(self.dropout(made), carried)  # [B, H]
            after.append(cell.advance(cell.project(read), state, fed))
            made = after[-1].hidden
            carried = read if self.stack.is_residual(number) else None
        return tuple(after), made if carried is None else made + carried

    def advance(
        self,
        projected: Tensor,
        states: Sequence[CellState],
        fed: Tensor | None = None,
        upper_fed: Tensor | None = None,
    ) -> tuple[tuple[CellState, ...], Tensor]:
        """One step of every layer: their states, lowest first, and the output [B, H].

        projected [B, G], fed [B, F], upper_fed [B, F']
        """
        lowest = self.lowest(projected, states[0], fed)
        upper, output = self.upper(lowest.hidden, states[1:], upper_fed)
        return (lowest, *upper), output


class Bridge(nn.Module):
    """The decoder's first state out of the encoder.

    zero: all zeros. copy: the encoder's last states, layer by layer (Sutskever et al., 2014,
    section 2; Luong et al., 2015); an LSTM's cell starts from 0 where the encoder has none. tanh:
    tanh(W summary) for each layer (Bahdanau et al., 2015, appendix A.2.2; Cho et al., 2014,
    appendix A); an LSTM's cell, which is not bounded, starts from a linear map of its own.
    """

    def __init__(
        self,
        *,
        kind: BridgeKind,
        summary_size: int,
        hidden_size: int,
        layers: int,
        cell: CellKind,
        biases: bool = True,
    ) -> None:
        super().__init__()
        self.kind = kind
        self.hidden_size = hidden_size
        self.layers = layers
        self.has_cell = LAYERS[cell].has_cell
        mapped = layers if kind == "tanh" else 0
        self.hidden = nn.ModuleList(
            nn.Linear(summary_size, hidden_size, bias=biases) for _ in range(mapped)
        )
        self.cell = nn.ModuleList(
            nn.Linear(summary_size, hidden_size, bias=biases)
            for _ in range(mapped if self.has_cell else 0)
        )

    def forward(self, summary: Tensor, last: Sequence[CellState]) -> tuple[CellState, ...]:
        """summary [B, Z], the encoder's last states -> one state [B, H] a layer

        Raises ValueError when states are to be copied that are not as many or not as wide.
        """
        if self.kind == "tanh":
            return self._map(summary)
        if self.kind == "copy":
            return self._copy(last)
        zeros = summary.new_zeros(len(summary), self.hidden_size)
        return (CellState(zeros, zeros if self.has_cell else None),) * self.layers

    def _map(self, summary: Tensor) -> tuple[CellState, ...]:
        hidden = [torch.tanh(layer(summary)) for layer in self.hidden]
        cells = [layer(summary) for layer in self.cell] if self.has_cell else [None] * self.layers
        return tuple(CellState(h, c) for h, c in zip(hidden, cells, strict=True))

    def _copy(self, last: Sequence[CellState]) -> tuple[CellState, ...]:
        widths = [state.hidden.shape[-1] for state in last]
        if widths != [self.hidden_size] * self.layers:
            raise ValueError(
                f"the encoder's last states are {widths} wide, so they cannot be copied into "
                f"{self.layers} decoder layers of width {self.hidden_size}"
            )
        return tuple(self._with_cell(state) for state in last)

    def _with_cell(self, state: CellState) -> CellState:
        """The same hidden state, with a cell if the decoder keeps one."""
        if not self.has_cell:
            return CellState(state.hidden, None)
        return CellState(
            state.hidden, torch.zeros_like(state.hidden) if state.cell is None else state.cell
        )


def _carried_on(dropped: Tensor, carried: Tensor | None) -> Tensor:
    """What a layer reads: what the one below made, and what it carried past."""
    return dropped if carried is None else dropped + carried
