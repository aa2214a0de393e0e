"""Recurrent cells with two doors: a whole sequence in one library call, or one step at a time.

A cell's input comes in two parts: what is known beforehand (embeddings; projected for the whole
sequence at once) and what is fed back from the step before (projected inside the loop).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

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


class LSTMLayer(nn.Module):
    """LSTM (Hochreiter & Schmidhuber, 1997, with the forget gate of Gers et al., 2000).

    [i; f; g; o] = W x + W_f fed + U h + b;  c' = sig(f) c + sig(i) tanh(g);  h' = sig(o) tanh(c')
    """

    def __init__(self, *, input_size: int, hidden_size: int, fed_size: int = 0) -> None:
        super().__init__()
        self.rnn = nn.LSTM(input_size, hidden_size, batch_first=True)
        self.feedback = nn.Linear(fed_size, 4 * hidden_size, bias=False) if fed_size else None
        initialise_recurrent(self.rnn)

    def unroll(self, inputs: Tensor, state: CellState) -> Tensor:
        """Every state of a sequence with nothing fed back. [B, T, I] -> [B, T, H]"""
        assert self.feedback is None and state.cell is not None
        outputs, _ = self.rnn(inputs, (state.hidden.unsqueeze(0), state.cell.unsqueeze(0)))
        return outputs  # type: ignore[no-any-return]

    def project(self, inputs: Tensor) -> Tensor:
        """The part of the gates that needs no state. [..., I] -> [..., 4H]"""
        bias = self.rnn.bias_ih_l0 + self.rnn.bias_hh_l0
        return F.linear(inputs, self.rnn.weight_ih_l0, bias)

    def advance(self, projected: Tensor, state: CellState, fed: Tensor | None) -> CellState:
        """One step. projected [B, 4H], fed [B, F]"""
        assert state.cell is not None
        gates = projected + F.linear(state.hidden, self.rnn.weight_hh_l0)  # [B, 4H]
        if self.feedback is not None:
            gates = gates + self.feedback(fed)
        i, f, g, o = gates.chunk(4, dim=-1)  # [B, H] each
        cell = f.sigmoid() * state.cell + i.sigmoid() * g.tanh()
        return CellState(o.sigmoid() * cell.tanh(), cell)


class GRULayer(nn.Module):
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
        """Every state of a sequence with nothing fed back. [B, T, I] -> [B, T, H]"""
        assert self.feedback is None
        outputs, _ = self.rnn(inputs, state.hidden.unsqueeze(0))
        return outputs  # type: ignore[no-any-return]

    def project(self, inputs: Tensor) -> Tensor:
        """The part of the gates that needs no state. [..., I] -> [..., 3H]"""
        return F.linear(inputs, self.rnn.weight_ih_l0, self.rnn.bias_ih_l0)

    def advance(self, projected: Tensor, state: CellState, fed: Tensor | None) -> CellState:
        """One step. projected [B, 3H], fed [B, F]"""
        if self.feedback is not None:
            projected = projected + self.feedback(fed)
        recurrent = F.linear(state.hidden, self.rnn.weight_hh_l0, self.rnn.bias_hh_l0)  # [B, 3H]
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
        outputs = self.layers[0].unroll(inputs, states[0])
        for layer, state in zip(self.layers[1:], states[1:], strict=True):
            outputs = layer.unroll(self.dropout(outputs), state)
        return outputs  # type: ignore[no-any-return]

    def project(self, inputs: Tensor) -> Tensor:
        """The lowest layer's gates, as far as they need no state. [..., I] -> [..., G]"""
        return self.layers[0].project(inputs)  # type: ignore[no-any-return]

    def advance(
        self, projected: Tensor, states: Sequence[CellState], fed: Tensor | None = None
    ) -> tuple[CellState, ...]:
        """One step of every layer, lowest first. projected [B, G], fed [B, F]"""
        after = [self.layers[0].advance(projected, states[0], fed)]
        for layer, state in zip(self.layers[1:], states[1:], strict=True):
            below = layer.project(self.dropout(after[-1].hidden))
            after.append(layer.advance(below, state, None))
        return tuple(after)


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


def initialise_recurrent(rnn: nn.LSTM | nn.GRU) -> None:
    """Glorot inputs, orthogonal recurrence (Saxe et al., 2014), an LSTM's forget bias at 1.

    Jozefowicz et al. (2015) found the forget bias to matter more than the choice of cell.
    """
    size = rnn.hidden_size
    for name, parameter in rnn.named_parameters():
        with torch.no_grad():
            if "weight" in name:
                for gate in parameter.split(size):
                    if "weight_hh" in name:
                        nn.init.orthogonal_(gate)
                    else:
                        nn.init.xavier_uniform_(gate)
            else:
                parameter.zero_()
                if "bias_ih" in name and isinstance(rnn, nn.LSTM):
                    parameter[size : 2 * size] = 1.0
