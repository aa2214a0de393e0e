"""Recurrent cells with two doors: a whole sequence in one library call, or one step at a time.

A cell's input comes in two parts: what is known beforehand (embeddings; projected for the whole
sequence at once) and what is fed back from the step before (projected inside the loop).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CellKind = Literal["lstm", "gru"]


@dataclass(frozen=True, slots=True)
class CellState:
    """The state of one layer for B sentences."""

    hidden: Tensor  # [B, H]
    cell: Tensor | None  # [B, H]; None for a GRU

    def select(self, rows: Tensor) -> "CellState":
        return CellState(self.hidden[rows], None if self.cell is None else self.cell[rows])


class RecurrentLayer(nn.Module, ABC):
    """One layer of cells; `feedback` projects what is fed back, where anything is."""

    feedback: nn.Linear | None

    @abstractmethod
    def unroll(self, inputs: Tensor, state: CellState) -> Tensor:
        """Every state of a sequence with nothing fed back. [B, T, I] -> [B, T, H]"""

    @abstractmethod
    def project(self, inputs: Tensor) -> Tensor:
        """The part of the gates that needs no state. [..., I] -> [..., G]"""

    @abstractmethod
    def advance(self, projected: Tensor, state: CellState, fed: Tensor | None) -> CellState:
        """One step. projected [B, G], fed [B, F]"""


class LSTMLayer(RecurrentLayer):
    """LSTM (Hochreiter & Schmidhuber, 1997, with the forget gate of Gers et al., 2000).

    [i; f; g; o] = W x + W_f fed + U h + b;  c' = sig(f) c + sig(i) tanh(g);  h' = sig(o) tanh(c')
    """

    def __init__(self, *, input_size: int, hidden_size: int, fed_size: int = 0) -> None:
        super().__init__()
        self.rnn = nn.LSTM(input_size, hidden_size, batch_first=True)
        self.feedback = nn.Linear(fed_size, 4 * hidden_size, bias=False) if fed_size else None
        initialise_recurrent(self.rnn)

    def unroll(self, inputs: Tensor, state: CellState) -> Tensor:
        assert self.feedback is None and state.cell is not None
        outputs, _ = self.rnn(inputs, (state.hidden.unsqueeze(0), state.cell.unsqueeze(0)))
        return cast(Tensor, outputs)

    def project(self, inputs: Tensor) -> Tensor:
        weights = _weights_of(self.rnn)
        return F.linear(inputs, weights.input, weights.input_bias + weights.recurrent_bias)

    def advance(self, projected: Tensor, state: CellState, fed: Tensor | None) -> CellState:
        assert state.cell is not None
        gates = projected + F.linear(state.hidden, _weights_of(self.rnn).recurrent)  # [B, 4H]
        if self.feedback is not None:
            gates = gates + self.feedback(fed)
        i, f, g, o = gates.chunk(4, dim=-1)  # [B, H] each
        cell = f.sigmoid() * state.cell + i.sigmoid() * g.tanh()
        return CellState(o.sigmoid() * cell.tanh(), cell)


class GRULayer(RecurrentLayer):
    """GRU (Cho et al., 2014), the reset gate applied after the product, as in Nematus and PyTorch.

    r, z = sig(W x + W_f fed + U h + b);  n = tanh(W x + W_f fed + b + r o (U h + b'));
    h' = (1 - z) o n + z o h
    """

    def __init__(self, *, input_size: int, hidden_size: int, fed_size: int = 0) -> None:
        super().__init__()
        self.rnn = nn.GRU(input_size, hidden_size, batch_first=True)
        self.feedback = nn.Linear(fed_size, 3 * hidden_size, bias=False) if fed_size else None
        initialise_recurrent(self.rnn)

    def unroll(self, inputs: Tensor, state: CellState) -> Tensor:
        assert self.feedback is None
        outputs, _ = self.rnn(inputs, state.hidden.unsqueeze(0))
        return cast(Tensor, outputs)

    def project(self, inputs: Tensor) -> Tensor:
        weights = _weights_of(self.rnn)
        return F.linear(inputs, weights.input, weights.input_bias)

    def advance(self, projected: Tensor, state: CellState, fed: Tensor | None) -> CellState:
        if self.feedback is not None:
            projected = projected + self.feedback(fed)
        weights = _weights_of(self.rnn)
        recurrent = F.linear(state.hidden, weights.recurrent, weights.recurrent_bias)  # [B, 3H]
        reset_x, update_x, new_x = projected.chunk(3, dim=-1)  # [B, H] each
        reset_h, update_h, new_h = recurrent.chunk(3, dim=-1)
        reset = (reset_x + reset_h).sigmoid()
        update = (update_x + update_h).sigmoid()
        new = (new_x + reset * new_h).tanh()
        return CellState(new + update * (state.hidden - new), None)


class RecurrentStack(nn.Module):
    """Layers one on the other, dropout between them; what is fed back enters the lowest."""

    def __init__(
        self,
        *,
        cell: CellKind,
        input_size: int,
        hidden_size: int,
        layers: int,
        fed_size: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        layer = LSTMLayer if cell == "lstm" else GRULayer
        self.cell = cell
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(
            [layer(input_size=input_size, hidden_size=hidden_size, fed_size=fed_size)]
            + [layer(input_size=hidden_size, hidden_size=hidden_size) for _ in range(layers - 1)]
        )

    def unroll(self, inputs: Tensor, states: Sequence[CellState]) -> Tensor:
        """The top layer's states when nothing is fed back. [B, T, I] -> [B, T, H]"""
        lowest, *upper = self._each()
        outputs = lowest.unroll(inputs, states[0])
        for layer, state in zip(upper, states[1:], strict=True):
            outputs = layer.unroll(self.dropout(outputs), state)
        return outputs

    def project(self, inputs: Tensor) -> Tensor:
        """The lowest layer's gates, as far as they need no state. [..., I] -> [..., G]"""
        return self._each()[0].project(inputs)

    def advance(
        self, projected: Tensor, states: Sequence[CellState], fed: Tensor | None = None
    ) -> tuple[CellState, ...]:
        """One step of every layer, lowest first. projected [B, G], fed [B, F]"""
        lowest, *upper = self._each()
        after = [lowest.advance(projected, states[0], fed)]
        for layer, state in zip(upper, states[1:], strict=True):
            below = layer.project(self.dropout(after[-1].hidden))
            after.append(layer.advance(below, state, None))
        return tuple(after)

    def _each(self) -> list[RecurrentLayer]:
        return cast(list[RecurrentLayer], list(self.layers))


class Bridge(nn.Module):
    """The decoder's first state out of the encoder's summary: tanh(W summary) for each layer.

    Bahdanau et al. (2015), appendix A.2.2, for the hidden state; an LSTM's cell, which is not
    bounded, starts from a linear map of its own.
    """

    def __init__(self, *, summary_size: int, hidden_size: int, layers: int, cell: CellKind) -> None:
        super().__init__()
        self.hidden = nn.ModuleList(nn.Linear(summary_size, hidden_size) for _ in range(layers))
        self.cell = nn.ModuleList(
            nn.Linear(summary_size, hidden_size) for _ in range(layers if cell == "lstm" else 0)
        )

    def forward(self, summary: Tensor) -> tuple[CellState, ...]:
        """summary [B, M] -> one state a layer"""
        hidden = [torch.tanh(layer(summary)) for layer in self.hidden]
        cells = [layer(summary) for layer in self.cell] or [None] * len(hidden)
        return tuple(CellState(h, c) for h, c in zip(hidden, cells, strict=True))


class _Weights(NamedTuple):
    """The parameters of a library layer, G = 4H for an LSTM and 3H for a GRU."""

    input: Tensor  # [G, I]
    recurrent: Tensor  # [G, H]
    input_bias: Tensor  # [G]
    recurrent_bias: Tensor  # [G]


def _weights_of(rnn: nn.RNNBase) -> _Weights:
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    return _Weights(*(cast(Tensor, getattr(rnn, name)) for name in names))


def initialise_recurrent(rnn: nn.LSTM | nn.GRU) -> None:
    """Glorot inputs, orthogonal recurrence (Saxe et al., 2014), an LSTM's forget bias at 1.

    Jozefowicz et al. (2015) found the forget bias to matter more than the choice of cell.
    """
    size = rnn.hidden_size
    for name, parameter in rnn.named_parameters():
        with torch.no_grad():
            if "weight" in name:
                for gate in torch.split(parameter, size):
                    if "weight_hh" in name:
                        nn.init.orthogonal_(gate)
                    else:
                        nn.init.xavier_uniform_(gate)
            else:
                parameter.zero_()
                if "bias_ih" in name and isinstance(rnn, nn.LSTM):
                    parameter[size : 2 * size] = 1.0
