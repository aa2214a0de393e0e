"""The interface of all decoders, and the values that they take and return."""

from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from torch import Tensor, nn

from seq2seq.attention.attention import ProjectedMemory
from seq2seq.attention.self_attention import SelfAttention
from seq2seq.decoders.lexicon import Translations
from seq2seq.decoders.readout import Readout
from seq2seq.kernels.dropout import NO_DROPOUT, DropoutRates
from seq2seq.kernels.products import function_of_ids
from seq2seq.recurrent.cells import Cell, CellState, EqualRows
from seq2seq.recurrent.stack import Bridge


@dataclass(frozen=True, slots=True)
class Memory:
    """B encoded sources as a decoder sees them."""

    values: Tensor  # [B, S, M]
    mask: Tensor  # [B, S] bool, True where attention may attend
    summary: Tensor  # [B, Z]
    final_states: tuple[CellState, ...]  # of each encoder layer
    projected: ProjectedMemory | None = None  # keys and values of attention; None without
    embeddings: Tensor | None = None  # [B, S, E] for a lexical model; None without
    translations: Translations | None = None  # for a lexicon; None without

    def select(self, rows: Tensor) -> "Memory":
        return Memory(
            self.values.index_select(0, rows),
            self.mask.index_select(0, rows),
            self.summary.index_select(0, rows),
            tuple(state.select(rows) for state in self.final_states),
            None if self.projected is None else self.projected.select(rows),
            _rows(self.embeddings, rows),
            None if self.translations is None else self.translations.select(rows),
        )


@dataclass(frozen=True, slots=True)
class DecoderState:
    """Everything that one step passes to the next; what a decoder does not use is None.

    It has R rows, one for each hypothesis: R / B consecutive ones for each of the B sentences of
    the memory, which all of these share.
    """

    layers: tuple[CellState, ...]  # lowest first
    feedback: Tensor | None = None  # [R, O] or [R, M]: the last readout or context
    coverage: Tensor | None = None  # [R, S, F], the vectors of `Coverage`
    past: ProjectedMemory | None = None  # the decoder's own states so far, for self-attention
    step_index: Tensor | None = None  # [R], of the next step, from 1, for local attention

    def select(self, rows: Tensor) -> "DecoderState":
        equal = EqualRows.of(rows)
        return replace(
            self,
            layers=tuple(layer.select(rows, equal) for layer in self.layers),
            feedback=_rows(self.feedback, rows),
            coverage=_rows(self.coverage, rows),
            past=None if self.past is None else self.past.select(rows),
            step_index=_rows(self.step_index, rows),
        )


def _rows(tensor: Tensor | None, rows: Tensor) -> Tensor | None:
    return None if tensor is None else tensor.index_select(0, rows)


class EmbeddingDecoder(Protocol):
    """A decoder whose input is the embedding of the previous id."""

    embedding: nn.Embedding

    def embed(self, ids: Tensor) -> Tensor:
        """ids [B, ...] -> [B, ..., E]"""
        ...


def project_ids(decoder: EmbeddingDecoder, lowest: Cell, ids: Tensor) -> Tensor:
    """The part of the gates of the lowest cell that depends on the previous id alone, in a step.

    It is kept for later steps where search does so. ids [R] -> [R, G]
    """
    return function_of_ids(
        decoder,
        lambda each: lowest.project(decoder.embed(each)),
        ids,
        vocabulary=decoder.embedding.num_embeddings,
    )


class UnrollOutput(NamedTuple):
    """All T steps of a batch whose targets are known."""

    readouts: Tensor  # [B, T, O], or [B, T, O + E] with a lexical model
    weights: Tensor | None  # [B, N, T, S], N heads; None without attention


class StepOutput(NamedTuple):
    """One step of R targets that are being written."""

    readout: Tensor  # [R, O], or [R, O + E] with a lexical model
    weights: Tensor | None  # [R, N, S]; None without attention
    state: DecoderState  # of the next step


class StepFunctions(Protocol):
    """A decoder bound to B memories and to its present weights."""

    @property
    def memory(self) -> Memory: ...

    def start(self) -> DecoderState:
        """The state of the first step, with one row for each memory."""
        ...

    def step(self, previous_ids: Tensor, state: DecoderState) -> StepOutput:
        """previous_ids [R], BOS at the first step; R / B consecutive rows for each memory"""
        ...

    def select(self, rows: Tensor) -> "StepFunctions":
        """The decoder bound to these of the B memories. rows [B'] int64"""
        ...


class Decoder(Protocol):
    """`unroll` equals `bind`, `start` and then repeated `step`, in evaluation mode."""

    @property
    def heads(self) -> int:
        """N, how many attention heads there are; 0 without attention."""
        ...

    def project_memory(self, values: Tensor) -> ProjectedMemory | None:
        """Everything in attention that depends on memory alone. values [B, S, M]"""
        ...

    def unroll(self, decoder_input: Tensor, memory: Memory) -> UnrollOutput:
        """decoder_input [B, T], BOS first"""
        ...

    def bind(self, memory: Memory) -> StepFunctions:
        """The steps of one search; its weights are sliced here, not once a step."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderParts:
    """The modules of every decoder, whether it has attention or not."""

    embedding: nn.Embedding
    bridge: Bridge
    readout: Readout
    self_attention: SelfAttention | None = None  # over the decoder's own states so far
    dropout: DropoutRates = NO_DROPOUT
