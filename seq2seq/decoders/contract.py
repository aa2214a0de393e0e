"""What every decoder offers, and the values that pass through its doors."""

from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from torch import Tensor

from seq2seq.attention.attention import ProjectedMemory
from seq2seq.attention.coverage import CoverageState
from seq2seq.recurrent.cells import CellState


@dataclass(frozen=True, slots=True)
class Memory:
    """B encoded sources as a decoder sees them."""

    values: Tensor  # [B, S, M]
    mask: Tensor  # [B, S] bool, what may be looked at
    summary: Tensor  # [B, Z]
    last: tuple[CellState, ...]  # the last state of each encoder layer
    projected: ProjectedMemory | None = (
        None  # as attention sees it, made once; None without attention
    )

    def select(self, rows: Tensor) -> "Memory":
        return Memory(
            self.values[rows],
            self.mask[rows],
            self.summary[rows],
            tuple(state.select(rows) for state in self.last),
            None if self.projected is None else self.projected.select(rows),
        )


@dataclass(frozen=True, slots=True)
class DecoderState:
    """All that one step hands to the next; what a decoder has no use for is None."""

    layers: tuple[CellState, ...]
    fed: Tensor | None = None  # [B, F], the last readout or context, with input feeding
    coverage: CoverageState | None = None
    past: ProjectedMemory | None = None  # own states so far, for self-attention
    number: Tensor | None = None  # [B], of the step to come, from 1, for local attention

    def select(self, rows: Tensor) -> "DecoderState":
        return replace(
            self,
            layers=tuple(layer.select(rows) for layer in self.layers),
            fed=None if self.fed is None else self.fed[rows],
            coverage=None if self.coverage is None else self.coverage.select(rows),
            past=None if self.past is None else self.past.select(rows),
            number=None if self.number is None else self.number[rows],
        )


class Unrolled(NamedTuple):
    """Every step of a batch whose targets are known."""

    readouts: Tensor  # [B, T, R]
    weights: Tensor | None  # [B, N, T, S], N heads; None without attention


class Step(NamedTuple):
    """One step of a batch whose targets are being written."""

    readout: Tensor  # [B, R]
    weights: Tensor | None  # [B, N, S]
    state: DecoderState


class Decoder(Protocol):
    """`unroll` equals `start` followed by repeated `step`, in evaluation mode."""

    @property
    def heads(self) -> int:
        """N, how many attention heads there are; 0 without attention."""
        ...

    def project_memory(self, values: Tensor) -> ProjectedMemory | None:
        """What of attention depends on memory alone. values [B, S, M]"""
        ...

    def unroll(self, decoder_input: Tensor, memory: Memory) -> Unrolled:
        """decoder_input [B, T], BOS first"""
        ...

    def start(self, memory: Memory) -> DecoderState: ...

    def step(self, previous_ids: Tensor, state: DecoderState, memory: Memory) -> Step:
        """previous_ids [B]"""
        ...
