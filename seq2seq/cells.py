"""Recurrent layers with two doors: a whole sequence at once, or one step at a time.

What a layer reads comes in two parts: its inputs (known beforehand: projected for the whole
sequence at once) and what is fed back from the step before (projected when it is there). Gates lie
in PyTorch's order, i f g o or r z n, and the update gate z keeps the old state, as in Cho et al.
(2014), equation 7, and in PyTorch: h' = (1 - z) n + z h. The z of Bahdanau et al. (2015) is our
1 - z: the same functions of other signs of the weights.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq.looped import LoopedLinear
from seq2seq.masks import length_mask
from seq2seq.precision import library_products

CellKind = Literal["lstm", "gru", "gru_reset_before", "gru_cho", "lstm_layer_norm"]

_ALIGNED = 32
_SHUT = 1e4  # what makes a sigmoid 0 or 1 exactly, whatever else its gate is given


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
        self.fed = None if weights.fed is None else LoopedLinear(weights.fed)

    @cached_property
    def recurrent(self) -> LoopedLinear:
        """U h"""
        return LoopedLinear(self.weights.recurrent, dropout=self.weights.dropout)

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
        self.for_gates = LoopedLinear(for_gates, dropout=weights.dropout)
        self.for_new = LoopedLinear(for_new, dropout=weights.dropout)

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

    state_dropout: float = 0.0  # of what its recurrent weights read (Gal & Ghahramani, 2016)
    zoneout: float = 0.0  # of state and cell (Krueger et al., 2017)

    def acts(self, *, training: bool) -> bool:
        """Whether there is anything to do: if not, a library call may read a whole sequence."""
        return bool(self.zoneout or (training and self.state_dropout))

    def around(
        self, build: Callable[[GateWeights], Cell], weights: GateWeights, *, training: bool
    ) -> Cell:
        """A cell of these weights, disturbed."""
        if training:
            weights = weights._replace(dropout=self.state_dropout)
        cell = build(weights)
        return ZoneoutCell(cell, self.zoneout, training=training) if self.zoneout else cell


QUIET = CellNoise()


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
        noise: CellNoise = QUIET,
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
        real = length_mask(lengths.to(inputs.device), inputs.shape[1]).unsqueeze(-1)  # [B, S, 1]
        for given, here in zip(cell.project(inputs).unbind(1), real.unbind(1), strict=True):
            state = cell.advance(given, state).where(here, state)
            hidden.append(state.hidden)
        return torch.stack(hidden, dim=1), state


class LibraryLayer(RecurrentLayer):
    """A layer of PyTorch's own, which reads a whole sequence in one call.

    The library's layer reads padding too. An input more, 1 where there is padding, then holds the
    state, so that what is left in the end is each sequence's last: it has `holding` as weights,
    which make a gate 0 or 1 exactly. Packed sequences would do, but on a CPU they are read step by
    step, at a third to a half of the speed.
    """

    library: ClassVar[type[nn.LSTM] | type[nn.GRU]]
    holding: ClassVar[tuple[float, ...]]  # a gate each

    def build(self, joined_size: int, *, biases: bool) -> None:
        self.rnn = self.library(joined_size, self.hidden_size, bias=biases, batch_first=True)
        initialise_recurrent(self.rnn)

    def weights(self) -> GateWeights:
        return library_weights(self.rnn, self.rnn.all_weights[0], fed_size=self.fed_size)

    def unroll(self, inputs: Tensor, state: CellState, fed: Tensor | None = None) -> Tensor:
        if self.noise.acts(training=self.training):
            return super().unroll(inputs, state, fed)
        kind = self.rnn.all_weights[0][0].dtype
        joined = inputs if fed is None else torch.cat([inputs, fed], dim=-1)  # [B, T, I + F]
        joined, hidden = joined.to(kind), state.hidden.to(kind).unsqueeze(0)
        start = hidden if state.cell is None else (hidden, state.cell.to(kind).unsqueeze(0))
        with library_products(inputs.device):
            outputs, _ = self.rnn(joined, start)
        return cast(Tensor, outputs)

    def read(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, CellState]:
        if self.noise.acts(training=self.training):
            return super().read(inputs, lengths)
        from_inputs, *others = self.rnn.all_weights[0]
        kind, real = from_inputs.dtype, length_mask(lengths.to(inputs.device), inputs.shape[1])
        gates = from_inputs.new_tensor(self.holding).repeat_interleave(self.hidden_size)
        with library_products(inputs.device):
            outputs, last = self.call(
                _with_column(inputs.to(kind), ~real), [_with_column(from_inputs, gates), *others]
            )
        ends = (lengths.to(inputs.device) - 1).view(-1, 1, 1)  # [B, 1, 1]
        hidden = outputs.take_along_dim(ends, dim=1).squeeze(1)  # [B, H]
        return outputs, CellState(hidden.to(kind), None if last is None else last.to(kind))

    @abstractmethod
    def call(self, inputs: Tensor, weights: list[Tensor]) -> tuple[Tensor, Tensor | None]:
        """The library's call: every state [B, S, H], and the cell [B, H] after the last step."""


class LSTMLayer(LibraryLayer):
    library = nn.LSTM
    holding = (-_SHUT, _SHUT, 0.0, 0.0)  # nothing comes in, nothing is forgotten
    has_cell = True

    cell_of = LSTMCell

    def call(self, inputs: Tensor, weights: list[Tensor]) -> tuple[Tensor, Tensor | None]:
        zeros = inputs.new_zeros(1, len(inputs), self.hidden_size)
        biases, training = self.rnn.bias, self.training
        outputs, _, cell = torch.lstm(
            inputs, (zeros, zeros), weights, biases, 1, 0.0, training, False, True
        )
        return outputs, cell.squeeze(0)


class GRULayer(LibraryLayer):
    library = nn.GRU
    holding = (0.0, _SHUT, 0.0)  # the update gate keeps everything

    cell_of = GRUCell

    def call(self, inputs: Tensor, weights: list[Tensor]) -> tuple[Tensor, Tensor | None]:
        zeros = inputs.new_zeros(1, len(inputs), self.hidden_size)
        biases, training = self.rnn.bias, self.training
        outputs, _ = torch.gru(inputs, zeros, weights, biases, 1, 0.0, training, False, True)
        return outputs, None


class LoopedLayer(RecurrentLayer):
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


class ResetBeforeGRULayer(LoopedLayer):
    gates = 3

    cell_of = ResetBeforeGRUCell


class ChoGRULayer(LoopedLayer):
    gates = 3

    cell_of = ChoGRUCell


class LayerNormLSTMLayer(LoopedLayer):
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
