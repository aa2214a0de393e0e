"""What every decoder offers, and the values that pass through its doors."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from torch import Tensor

from seq2seq.recurrence import CellState


@dataclass(frozen=True, slots=True)
class Memory:
    """B encoded sources as a decoder sees them; keys are made once a sentence."""

    values: Tensor  # [B, S, M]
    keys: Tensor | None  # [B, S, ?]; None for a decoder without attention
    mask: Tensor  # [B, S] bool
    summary: Tensor  # [B, M]

    def select(self, rows: Tensor) -> "Memory":
        keys = None if self.keys is None else self.keys[rows]
        return Memory(self.values[rows], keys, self.mask[rows], self.summary[rows])


@dataclass(frozen=True, slots=True)
class DecoderState:
    """All that one step hands to the next."""

    layers: tuple[CellState, ...]
    fed: Tensor | None = None  # [B, R], the last readout, with input feeding

    def select(self, rows: Tensor) -> "DecoderState":
        layers = tuple(layer.select(rows) for layer in self.layers)
        return DecoderState(layers, None if self.fed is None else self.fed[rows])


class Unrolled(NamedTuple):
    """Every step of a batch whose targets are known."""

    readouts: Tensor  # [B, T, R]
    weights: Tensor | None  # [B, T, S]


class Step(NamedTuple):
    """One step of a batch whose targets are being written."""

    readout: Tensor  # [B, R]
    weights: Tensor | None  # [B, S]
    state: DecoderState


class Decoder(Protocol):
    """`unroll` equals `start` followed by repeated `step`, in evaluation mode."""

    def keys(self, values: Tensor) -> Tensor | None:
        """What of attention depends on memory alone. [B, S, M] -> [B, S, ?]"""
        ...

    def unroll(self, decoder_input: Tensor, memory: Memory) -> Unrolled:
        """decoder_input [B, T], BOS first"""
        ...

    def start(self, memory: Memory) -> DecoderState: ...

    def step(self, previous_ids: Tensor, state: DecoderState, memory: Memory) -> Step:
        """previous_ids [B]"""
        ...
