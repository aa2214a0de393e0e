"""Recurrent layers: the weights of cells, applied to a whole sequence at once or step by step."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq.config import CellKind
from seq2seq.kernels.deferred_gradients import deferred_gradients
from seq2seq.kernels.padding import length_mask
from seq2seq.kernels.precision import without_autocast
from seq2seq.recurrent.cells import (
    NO_NOISE,
    Cell,
    CellNoise,
    CellState,
    ChoGRUCell,
    GateWeights,
    GRUCell,
    LayerNormLSTMCell,
    LSTMCell,
    ResetBeforeGRUCell,
)

_ALIGNED = 32  # products are fast with widths that are a multiple of this
_SATURATED = 1e4  # makes a sigmoid 0 or 1 exactly, whatever else is added to its input


class RecurrentLayer(nn.Module, ABC):
    """One layer of cells. Its input weights have I + X columns, the last X for the extra input."""

    has_cell: ClassVar[bool] = False  # an LSTM's state has a cell beside the hidden state

    def __init__(
        self,
        *,
        input_size: int,
        hidden_size: int,
        extra_size: int = 0,
        biases: bool = True,
        noise: CellNoise = NO_NOISE,
    ) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.extra_size = extra_size
        self.noise = noise
        self.build_parameters(input_size + extra_size, biases=biases)

    @abstractmethod
    def build_parameters(self, columns: int, *, biases: bool) -> None:
        """Create the parameters; the input weights have `columns` I + X columns."""

    def cell(self) -> Cell:
        """A cell with the weights as they are now, for one unroll."""
        return self.noise.wrap(self.build_cell, self.gate_weights(), training=self.training)

    @abstractmethod
    def gate_weights(self) -> GateWeights:
        """The parameters as they are now, as a cell takes them."""

    @abstractmethod
    def build_cell(self, weights: GateWeights) -> Cell:
        """A cell of this layer's type, without noise."""

    def unroll(
        self, inputs: Tensor, state: CellState, extra_inputs: Tensor | None = None
    ) -> Tensor:
        """Every hidden state of a sequence whose inputs are all known.

        inputs [B, T, I], extra_inputs [B, T, X] -> [B, T, H]
        """
        cell = self.cell()
        projected = cell.project(inputs).unbind(1)
        projected_extra = cell.project_extra(extra_inputs)
        extras = [None] * len(projected) if projected_extra is None else projected_extra.unbind(1)
        hidden = []
        with deferred_gradients(steps=len(projected)):
            for step, extra in zip(projected, extras, strict=True):
                state = cell.step_projected(step, state, extra)
                hidden.append(state.hidden)
        return torch.stack(hidden, dim=1)

    def encode(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, CellState]:
        """Every hidden state of padded sequences, and the final state of each.

        inputs [B, S, I], lengths [B] -> [B, S, H], undefined past the end of a sequence. The layer
        has no extra input.
        """
        cell = self.cell()
        projected = cell.project(inputs).unbind(1)
        nonpad = length_mask(lengths, inputs.shape[1]).unsqueeze(-1)  # [B, S, 1]
        state, hidden = cell.zero_state(inputs), []
        with deferred_gradients(steps=len(projected)):
            for step, is_token in zip(projected, nonpad.unbind(1), strict=True):
                state = cell.step(step, state).where(is_token, state)
                hidden.append(state.hidden)
        return torch.stack(hidden, dim=1), state


class FusedLayer(RecurrentLayer):
    """A layer of PyTorch's own, which processes a whole sequence in one call.

    That call processes padding too. So `encode` adds an input column that is 1 at padding and whose
    weights, `padding_gates`, saturate the gates: padded steps copy the state, and the state after
    the last step is that after the last token. Packed sequences would do the same, but on a CPU
    they are processed step by step, at a third to a half of the speed.
    """

    padding_column: Tensor
    library: ClassVar[type[nn.LSTM] | type[nn.GRU]]
    padding_gates: ClassVar[tuple[float, ...]]  # a weight for each gate

    def build_parameters(self, columns: int, *, biases: bool) -> None:
        self.rnn = self.library(columns, self.hidden_size, bias=biases, batch_first=True)
        initialise_recurrent(self.rnn)
        column = torch.tensor(self.padding_gates).repeat_interleave(self.hidden_size)  # [G]
        self.register_buffer("padding_column", column, persistent=False)

    def gate_weights(self) -> GateWeights:
        return library_weights(self.rnn, self.rnn.all_weights[0], extra_size=self.extra_size)

    def unroll(
        self, inputs: Tensor, state: CellState, extra_inputs: Tensor | None = None
    ) -> Tensor:
        if self.noise.is_active(training=self.training):
            return super().unroll(inputs, state, extra_inputs)
        dtype = self.rnn.all_weights[0][0].dtype
        joined = inputs if extra_inputs is None else torch.cat([inputs, extra_inputs], dim=-1)
        joined, hidden = joined.to(dtype), state.hidden.to(dtype).unsqueeze(0)  # [B, T, I + X]
        first = hidden if state.cell is None else (hidden, state.cell.to(dtype).unsqueeze(0))
        with without_autocast(inputs.device):
            outputs, _ = self.rnn(joined, first)
        return cast(Tensor, outputs)

    def encode(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, CellState]:
        if self.noise.is_active(training=self.training):
            return super().encode(inputs, lengths)
        input_weight, *others = self.rnn.all_weights[0]
        dtype, nonpad = input_weight.dtype, length_mask(lengths, inputs.shape[1])
        weights = [_with_column(input_weight, self.padding_column), *others]
        if inputs.is_cuda:
            weights = _flat_weights(weights)
        with without_autocast(inputs.device):
            outputs, cell = self.call_library(_with_column(inputs.to(dtype), ~nonpad), weights)
        ends = (lengths - 1).view(-1, 1, 1)  # [B, 1, 1]
        hidden = outputs.take_along_dim(ends, dim=1).squeeze(1)  # [B, H]
        return outputs, CellState(hidden.to(dtype), None if cell is None else cell.to(dtype))

    @abstractmethod
    def call_library(self, inputs: Tensor, weights: list[Tensor]) -> tuple[Tensor, Tensor | None]:
        """Every hidden state [B, S, H], and an LSTM's cell [B, H] after the last step."""


class LSTMLayer(FusedLayer):
    library = nn.LSTM
    padding_gates = (-_SATURATED, _SATURATED, 0.0, 0.0)  # input gate 0, forget gate 1
    has_cell = True

    build_cell = LSTMCell

    def call_library(self, inputs: Tensor, weights: list[Tensor]) -> tuple[Tensor, Tensor | None]:
        zeros = inputs.new_zeros(1, len(inputs), self.hidden_size)
        biases, training = self.rnn.bias, self.training
        outputs, _, cell = torch.lstm(
            inputs, (zeros, zeros), weights, biases, 1, 0.0, training, False, True
        )
        return outputs, cell.squeeze(0)


class GRULayer(FusedLayer):
    library = nn.GRU
    padding_gates = (0.0, _SATURATED, 0.0)  # update gate 1: h' = h

    build_cell = GRUCell

    def call_library(self, inputs: Tensor, weights: list[Tensor]) -> tuple[Tensor, Tensor | None]:
        zeros = inputs.new_zeros(1, len(inputs), self.hidden_size)
        biases, training = self.rnn.bias, self.training
        outputs, _ = torch.gru(inputs, zeros, weights, biases, 1, 0.0, training, False, True)
        return outputs, None


class CellLoopLayer(RecurrentLayer):
    """A layer that steps its cell in a loop; it has one bias, where PyTorch's layers have two."""

    gates: ClassVar[int]

    def build_parameters(self, columns: int, *, biases: bool) -> None:
        rows = self.gates * self.hidden_size
        self.weight_ih = nn.Parameter(torch.empty(rows, columns))
        self.weight_hh = nn.Parameter(torch.empty(rows, self.hidden_size))
        self.bias = nn.Parameter(torch.zeros(rows)) if biases else None
        _initialise_gates(self.weight_ih, self.weight_hh)

    def gate_weights(self) -> GateWeights:
        inputs, extra = _split_extra(self.weight_ih, self.extra_size)
        return GateWeights(inputs, extra, self.weight_hh, self.bias)


class ResetBeforeGRULayer(CellLoopLayer):
    gates = 3

    build_cell = ResetBeforeGRUCell


class ChoGRULayer(CellLoopLayer):
    gates = 3

    build_cell = ChoGRUCell


class LayerNormLSTMLayer(CellLoopLayer):
    gates = 4
    has_cell = True

    def build_parameters(self, columns: int, *, biases: bool) -> None:
        super().build_parameters(columns, biases=biases)
        self.normalise_inputs = nn.LayerNorm(4 * self.hidden_size, bias=biases)
        self.normalise_recurrent = nn.LayerNorm(4 * self.hidden_size, bias=biases)
        self.normalise_cell = nn.LayerNorm(self.hidden_size, bias=biases)
        if self.bias is not None:
            _open_forget_gate(self.bias)

    def build_cell(self, weights: GateWeights) -> Cell:
        return LayerNormLSTMCell(
            weights, self.normalise_inputs, self.normalise_recurrent, self.normalise_cell
        )


LAYERS: dict[CellKind, type[RecurrentLayer]] = {
    "lstm": LSTMLayer,
    "gru": GRULayer,
    "gru_reset_before": ResetBeforeGRULayer,
    "gru_cho": ChoGRULayer,
    "lstm_layer_norm": LayerNormLSTMLayer,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSpec:
    """The settings that all recurrent layers of an encoder, or of a decoder, share."""

    cell: CellKind
    hidden_size: int
    biases: bool = True
    noise: CellNoise = NO_NOISE

    @property
    def has_cell(self) -> bool:
        """Whether a state has a cell beside the hidden state, as an LSTM's."""
        return LAYERS[self.cell].has_cell

    def build(self, *, input_size: int, extra_size: int = 0) -> RecurrentLayer:
        """A layer with fresh weights."""
        return LAYERS[self.cell](
            input_size=input_size,
            hidden_size=self.hidden_size,
            extra_size=extra_size,
            biases=self.biases,
            noise=self.noise,
        )


def library_weights(
    rnn: nn.LSTM | nn.GRU, parameters: Sequence[Tensor], *, extra_size: int = 0
) -> GateWeights:
    """The parameters of one layer and direction of PyTorch's own, as a cell takes them."""
    joined, recurrent, *biases = parameters
    weights = GateWeights(*_split_extra(joined, extra_size), recurrent)
    if not biases:
        return weights
    if isinstance(rnn, nn.LSTM):
        return weights._replace(bias=biases[0] + biases[1])
    return weights._replace(bias=biases[0], recurrent_bias=biases[1])


def initialise_recurrent(rnn: nn.LSTM | nn.GRU) -> None:
    """Glorot inputs, orthogonal recurrence (Saxe et al., 2014), an LSTM's forget bias at 1.

    Jozefowicz et al. (2015) found the forget bias to matter more than the choice of cell.
    """
    for inputs, recurrent, *biases in rnn.all_weights:  # of each layer and direction
        _initialise_gates(inputs, recurrent)
        for bias in biases:
            nn.init.zeros_(bias)
        if biases and isinstance(rnn, nn.LSTM):
            _open_forget_gate(biases[0])


def _initialise_gates(inputs: Tensor, recurrent: Tensor) -> None:
    """Draw each gate on its own. inputs [G, I], recurrent [G, H]"""
    size = recurrent.shape[1]
    with torch.no_grad():
        for gate in torch.split(inputs, size):
            nn.init.xavier_uniform_(gate)
        for gate in torch.split(recurrent, size):
            nn.init.orthogonal_(gate)


def _open_forget_gate(bias: Tensor) -> None:
    """Set the forget gate's bias to 1. bias [4H], in the order i f g o"""
    with torch.no_grad():
        bias.chunk(4)[1].fill_(1.0)


def _flat_weights(weights: list[Tensor]) -> list[Tensor]:
    """Copies that lie one behind the other in memory, as cuDNN wants them: else it warns.

    cuDNN's buffer has space for two biases even where there are none.
    """
    space = weights[0].new_zeros((4 - len(weights)) * len(weights[0]))
    sizes = [weight.numel() for weight in (*weights, space)]
    parts = torch.split(torch.cat([weight.flatten() for weight in (*weights, space)]), sizes)
    return [part.view_as(weight) for part, weight in zip(parts, weights, strict=False)]


def _with_column(matrix: Tensor, column: Tensor) -> Tensor:
    """Append a column, and zeros up to a width that products are fast with.

    matrix [..., I], column [...] -> [..., I'], I' the next multiple of 32 after I
    """
    missing = -(matrix.shape[-1] + 1) % _ALIGNED
    return torch.cat([matrix, F.pad(column.unsqueeze(-1), (0, missing))], dim=-1)


def _split_extra(weight: Tensor, extra_size: int) -> tuple[Tensor, Tensor | None]:
    """[G, I + X] -> [G, I], [G, X]"""
    if not extra_size:
        return weight, None
    inputs, extra = torch.split(weight, [weight.shape[1] - extra_size, extra_size], dim=1)
    return inputs, extra
