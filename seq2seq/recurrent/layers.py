"""Recurrent layers: the weights of cells, read with a whole sequence at once or step by step."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq.config import CellKind
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

_ALIGNED = 32
_SATURATED = 1e4  # what makes a sigmoid 0 or 1 exactly, whatever else its gate is given


class RecurrentLayer(nn.Module, ABC):
    """One layer of cells. Its input weights have I + F columns, the last F for what is fed back."""

    has_cell: ClassVar[bool] = False  # an LSTM's state has a cell beside the hidden part

    def __init__(
        self,
        *,
        input_size: int,
        hidden_size: int,
        fed_size: int = 0,
        biases: bool = True,
        noise: CellNoise = NO_NOISE,
    ) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.fed_size = fed_size
        self.noise = noise
        self.build(input_size + fed_size, biases=biases)

    @abstractmethod
    def build(self, joined_size: int, *, biases: bool) -> None:
        """Make the parameters, for inputs with what is fed joined to them."""

    def cell(self) -> Cell:
        """The weights as they are now, for one unroll."""
        return self.noise.around(self.cell_of, self.weights(), training=self.training)

    @abstractmethod
    def weights(self) -> GateWeights: ...

    @abstractmethod
    def cell_of(self, weights: GateWeights) -> Cell:
        """The kind of cell that this is a layer of."""

    def unroll(self, inputs: Tensor, state: CellState, fed: Tensor | None = None) -> Tensor:
        """Every state of a sequence. inputs [B, T, I], fed [B, T, F] -> [B, T, H]"""
        cell = self.cell()
        given = cell.project(inputs).unbind(1)
        from_fed = cell.project_fed(fed)
        back = [None] * len(given) if from_fed is None else from_fed.unbind(1)
        hidden = []
        for each, fed_now in zip(given, back, strict=True):
            state = cell.step(each, state, fed_now)
            hidden.append(state.hidden)
        return torch.stack(hidden, dim=1)

    def read(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, CellState]:
        """Every state of padded sequences, and the last one of each, nothing being fed.

        inputs [B, S, I], lengths [B] -> [B, S, H], of no meaning behind a sequence's end
        """
        cell = self.cell()
        state, hidden = cell.start(inputs), []
        real = length_mask(lengths, inputs.shape[1]).unsqueeze(-1)  # [B, S, 1]
        for given, here in zip(cell.project(inputs).unbind(1), real.unbind(1), strict=True):
            state = cell.advance(given, state).where(here, state)
            hidden.append(state.hidden)
        return torch.stack(hidden, dim=1), state


class FusedLayer(RecurrentLayer):
    """A layer of PyTorch's own, which reads a whole sequence in one call.

    The library's layer reads padding too. An input more, 1 where there is padding, then holds the
    state, so that what is left in the end is each sequence's last: it has `holding` as weights,
    which make a gate 0 or 1 exactly. Packed sequences would do, but on a CPU they are read step by
    step, at a third to a half of the speed.
    """

    held: Tensor
    library: ClassVar[type[nn.LSTM] | type[nn.GRU]]
    holding: ClassVar[tuple[float, ...]]  # a gate each

    def build(self, joined_size: int, *, biases: bool) -> None:
        self.rnn = self.library(joined_size, self.hidden_size, bias=biases, batch_first=True)
        initialise_recurrent(self.rnn)
        held = torch.tensor(self.holding).repeat_interleave(self.hidden_size)  # [G]
        self.register_buffer("held", held, persistent=False)

    def weights(self) -> GateWeights:
        return library_weights(self.rnn, self.rnn.all_weights[0], fed_size=self.fed_size)

    def unroll(self, inputs: Tensor, state: CellState, fed: Tensor | None = None) -> Tensor:
        if self.noise.acts(training=self.training):
            return super().unroll(inputs, state, fed)
        kind = self.rnn.all_weights[0][0].dtype
        joined = inputs if fed is None else torch.cat([inputs, fed], dim=-1)  # [B, T, I + F]
        joined, hidden = joined.to(kind), state.hidden.to(kind).unsqueeze(0)
        start = hidden if state.cell is None else (hidden, state.cell.to(kind).unsqueeze(0))
        with without_autocast(inputs.device):
            outputs, _ = self.rnn(joined, start)
        return cast(Tensor, outputs)

    def read(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, CellState]:
        if self.noise.acts(training=self.training):
            return super().read(inputs, lengths)
        from_inputs, *others = self.rnn.all_weights[0]
        kind, real = from_inputs.dtype, length_mask(lengths, inputs.shape[1])
        weights = [_with_column(from_inputs, self.held), *others]
        if inputs.is_cuda:
            weights = _flat_weights(weights)
        with without_autocast(inputs.device):
            outputs, last = self.call(_with_column(inputs.to(kind), ~real), weights)
        ends = (lengths - 1).view(-1, 1, 1)  # [B, 1, 1]
        hidden = outputs.take_along_dim(ends, dim=1).squeeze(1)  # [B, H]
        return outputs, CellState(hidden.to(kind), None if last is None else last.to(kind))

    @abstractmethod
    def call(self, inputs: Tensor, weights: list[Tensor]) -> tuple[Tensor, Tensor | None]:
        """The library's call: every state [B, S, H], and the cell [B, H] after the last step."""


class LSTMLayer(FusedLayer):
    library = nn.LSTM
    holding = (-_SATURATED, _SATURATED, 0.0, 0.0)  # nothing comes in, nothing is forgotten
    has_cell = True

    cell_of = LSTMCell

    def call(self, inputs: Tensor, weights: list[Tensor]) -> tuple[Tensor, Tensor | None]:
        zeros = inputs.new_zeros(1, len(inputs), self.hidden_size)
        biases, training = self.rnn.bias, self.training
        outputs, _, cell = torch.lstm(
            inputs, (zeros, zeros), weights, biases, 1, 0.0, training, False, True
        )
        return outputs, cell.squeeze(0)


class GRULayer(FusedLayer):
    library = nn.GRU
    holding = (0.0, _SATURATED, 0.0)  # the update gate keeps everything

    cell_of = GRUCell

    def call(self, inputs: Tensor, weights: list[Tensor]) -> tuple[Tensor, Tensor | None]:
        zeros = inputs.new_zeros(1, len(inputs), self.hidden_size)
        biases, training = self.rnn.bias, self.training
        outputs, _ = torch.gru(inputs, zeros, weights, biases, 1, 0.0, training, False, True)
        return outputs, None


class CellLoopLayer(RecurrentLayer):
    """A layer of ours, which reads a sequence in a loop; it has one bias, not the library's two."""

    gates: ClassVar[int]

    def build(self, joined_size: int, *, biases: bool) -> None:
        rows = self.gates * self.hidden_size
        self.weight_ih = nn.Parameter(torch.empty(rows, joined_size))
        self.weight_hh = nn.Parameter(torch.empty(rows, self.hidden_size))
        self.bias = nn.Parameter(torch.zeros(rows)) if biases else None
        _initialise_gates(self.weight_ih, self.weight_hh)

    def weights(self) -> GateWeights:
        joined = _split_fed(self.weight_ih, self.fed_size)
        return GateWeights(*joined, self.weight_hh, self.bias)


class ResetBeforeGRULayer(CellLoopLayer):
    gates = 3

    cell_of = ResetBeforeGRUCell


class ChoGRULayer(CellLoopLayer):
    gates = 3

    cell_of = ChoGRUCell


class LayerNormLSTMLayer(CellLoopLayer):
    gates = 4
    has_cell = True

    def build(self, joined_size: int, *, biases: bool) -> None:
        super().build(joined_size, biases=biases)
        self.normalise_inputs = nn.LayerNorm(4 * self.hidden_size, bias=biases)
        self.normalise_recurrent = nn.LayerNorm(4 * self.hidden_size, bias=biases)
        self.normalise_cell = nn.LayerNorm(self.hidden_size, bias=biases)
        if self.bias is not None:
            _open_forget_gate(self.bias)

    def cell_of(self, weights: GateWeights) -> Cell:
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


def library_weights(
    rnn: nn.LSTM | nn.GRU, parameters: Sequence[Tensor], *, fed_size: int = 0
) -> GateWeights:
    """The parameters of one layer in one direction of PyTorch's own, as a cell has them."""
    joined, recurrent, *biases = parameters
    weights = GateWeights(*_split_fed(joined, fed_size), recurrent)
    if not biases:
        return weights
    if isinstance(rnn, nn.LSTM):
        return weights._replace(bias=biases[0] + biases[1])
    return weights._replace(bias=biases[0], recurrent_bias=biases[1])


def initialise_recurrent(rnn: nn.LSTM | nn.GRU) -> None:
    """Glorot inputs, orthogonal recurrence (Saxe et al., 2014), an LSTM's forget bias at 1.

    Jozefowicz et al. (2015) found the forget bias to matter more than the choice of cell.
    """
    for inputs, recurrent, *biases in rnn.all_weights:  # a layer in a direction each
        _initialise_gates(inputs, recurrent)
        for bias in biases:
            nn.init.zeros_(bias)
        if biases and isinstance(rnn, nn.LSTM):
            _open_forget_gate(biases[0])


def _initialise_gates(inputs: Tensor, recurrent: Tensor) -> None:
    """inputs [G, I], recurrent [G, H], each gate on its own"""
    size = recurrent.shape[1]
    with torch.no_grad():
        for gate in torch.split(inputs, size):
            nn.init.xavier_uniform_(gate)
        for gate in torch.split(recurrent, size):
            nn.init.orthogonal_(gate)


def _open_forget_gate(bias: Tensor) -> None:
    """bias [4H], in the order i f g o"""
    with torch.no_grad():
        bias.chunk(4)[1].fill_(1.0)


def _flat_weights(weights: list[Tensor]) -> list[Tensor]:
    """One behind the other in memory, where cuDNN wants them: it would copy them, and say so.

    It wants room for two biases behind them even where there are none.
    """
    room = weights[0].new_zeros((4 - len(weights)) * len(weights[0]))
    sizes = [each.numel() for each in (*weights, room)]
    pieces = torch.split(torch.cat([each.flatten() for each in (*weights, room)]), sizes)
    return [piece.view_as(each) for piece, each in zip(pieces, weights, strict=False)]


def _with_column(matrix: Tensor, column: Tensor) -> Tensor:
    """Join a column, and zeros up to a width that products are fast with.

    matrix [..., I], column [...] -> [..., W], W the next multiple of 32
    """
    missing = -(matrix.shape[-1] + 1) % _ALIGNED
    return torch.cat([matrix, F.pad(column.unsqueeze(-1), (0, missing))], dim=-1)


def _split_fed(weight: Tensor, fed_size: int) -> tuple[Tensor, Tensor | None]:
    """[G, I + F] -> [G, I], [G, F]"""
    if not fed_size:
        return weight, None
    inputs, fed = torch.split(weight, [weight.shape[1] - fed_size, fed_size], dim=1)
    return inputs, fed
