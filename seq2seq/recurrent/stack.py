"""A stack of recurrent layers, and the bridge that gives them their first state."""

from collections.abc import Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn

from seq2seq.kernels.dropout import Dropout
from seq2seq.recurrent.cells import CellStack, CellState, add_residual, is_residual
from seq2seq.recurrent.layers import LayerSpec, RecurrentLayer

BridgeKind = Literal["zero", "copy", "tanh"]


class RecurrentStack(nn.Module):
    """Layers one above the other, with dropout between them.

    The lowest layer may have an extra input of its own (a context, a readout) and the upper layers
    another one, as in GNMT (Wu et al., 2016). From layer `residual_from` on (the lowest is 1), the
    input of a layer, after dropout, is added to its output (the same paper, equation 6); the lowest
    layer adds nothing.
    """

    def __init__(
        self,
        spec: LayerSpec,
        *,
        input_size: int,
        layers: int,
        extra_size: int = 0,
        upper_extra_size: int = 0,
        residual_from: int | None = None,
        dropout: float = 0.0,
        variational: bool = False,
    ) -> None:
        super().__init__()
        self.residual_from = residual_from
        self.dropout = Dropout(dropout, variational=variational)
        lowest = spec.build(input_size=input_size, extra_size=extra_size)
        upper = (
            spec.build(input_size=spec.hidden_size, extra_size=upper_extra_size)
            for _ in range(layers - 1)
        )
        self.layers = nn.ModuleList([lowest, *upper])

    def cells(self) -> CellStack:
        """The stack one step at a time, with the weights as they are now, for one unroll."""
        cells = [layer.cell() for layer in self._layers()]
        return CellStack(cells, self.dropout.for_steps(), self.residual_from)

    def unroll(
        self,
        inputs: Tensor,
        states: Sequence[CellState],
        extra_inputs: Tensor | None = None,
        upper_extra_inputs: Tensor | None = None,
    ) -> Tensor:
        """Every output of a sequence whose inputs are all known.

        inputs [B, T, I], extra_inputs [B, T, X], upper_extra_inputs [B, T, X'] -> [B, T, H]
        """
        hidden = self.unroll_lowest(inputs, states[0], extra_inputs)
        return self.unroll_upper(hidden, states[1:], upper_extra_inputs)

    def unroll_lowest(
        self, inputs: Tensor, state: CellState, extra_inputs: Tensor | None = None
    ) -> Tensor:
        """The lowest layer's states [B, T, H]. inputs [B, T, I], extra_inputs [B, T, X]"""
        return self._layers()[0].unroll(inputs, state, extra_inputs)

    def unroll_upper(
        self, hidden: Tensor, states: Sequence[CellState], extra_inputs: Tensor | None = None
    ) -> Tensor:
        """The stack's outputs [B, T, H] from the lowest layer's states [B, T, H].

        extra_inputs [B, T, X']
        """
        output, residual = hidden, None
        upper = zip(self._layers()[1:], states, strict=True)
        for number, (layer, state) in enumerate(upper, start=2):
            inputs = add_residual(self.dropout(output), residual)  # [B, T, H]
            output = layer.unroll(inputs, state, extra_inputs)
            residual = inputs if is_residual(number, self.residual_from) else None
        return add_residual(output, residual)

    def _layers(self) -> list[RecurrentLayer]:
        return cast(list[RecurrentLayer], list(self.layers))


class Bridge(nn.Module):
    """The decoder's first state, from the encoder.

    zero: all zeros. copy: the encoder's final states, layer by layer (Sutskever et al., 2014,
    section 2; Luong et al., 2015); an LSTM's cell starts from 0 where the encoder has none. tanh:
    tanh(W summary) for each layer (Bahdanau et al., 2015, appendix A.2.2; Cho et al., 2014,
    appendix A); an LSTM's cell, which is not bounded, starts from a linear map of its own.
    """

    def __init__(
        self, spec: LayerSpec, *, kind: BridgeKind, summary_size: int, layers: int
    ) -> None:
        super().__init__()
        self.kind = kind
        self.hidden_size = spec.hidden_size
        self.layers = layers
        self.has_cell = spec.has_cell
        maps = layers if kind == "tanh" else 0
        self.hidden = nn.ModuleList(
            nn.Linear(summary_size, spec.hidden_size, bias=spec.biases) for _ in range(maps)
        )
        self.cell = nn.ModuleList(
            nn.Linear(summary_size, spec.hidden_size, bias=spec.biases)
            for _ in range(maps if self.has_cell else 0)
        )

    def forward(self, summary: Tensor, final_states: Sequence[CellState]) -> tuple[CellState, ...]:
        """One state [B, H] a layer. summary [B, Z], final_states of the encoder's layers

        Raises ValueError when states are to be copied that are not as many or not as wide.
        """
        if self.kind == "tanh":
            return self._map(summary)
        if self.kind == "copy":
            return self._copy(final_states)
        zeros = summary.new_zeros(len(summary), self.hidden_size)
        return (CellState(zeros, zeros if self.has_cell else None),) * self.layers

    def _map(self, summary: Tensor) -> tuple[CellState, ...]:
        hidden = [torch.tanh(layer(summary)) for layer in self.hidden]
        cells = [layer(summary) for layer in self.cell] if self.has_cell else [None] * self.layers
        return tuple(CellState(h, c) for h, c in zip(hidden, cells, strict=True))

    def _copy(self, final_states: Sequence[CellState]) -> tuple[CellState, ...]:
        widths = [state.hidden.shape[-1] for state in final_states]
        if widths != [self.hidden_size] * self.layers:
            raise ValueError(
                f"the encoder's final states are {widths} wide, so they cannot be copied into "
                f"{self.layers} decoder layers of width {self.hidden_size}"
            )
        return tuple(self._with_cell(state) for state in final_states)

    def _with_cell(self, state: CellState) -> CellState:
        """Drop the cell, or add a zero one, where the decoder's states need it."""
        if not self.has_cell:
            return CellState(state.hidden, None)
        return CellState(
            state.hidden, torch.zeros_like(state.hidden) if state.cell is None else state.cell
        )
