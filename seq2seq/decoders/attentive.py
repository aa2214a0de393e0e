"""The base of decoders with attention: the loop over time, attention, and the readout."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, Self

import torch
from torch import Tensor, nn

from seq2seq.attention.attention import MemoryAttention, ProjectedMemory
from seq2seq.attention.coverage import Coverage
from seq2seq.attention.masks import AttentionMask
from seq2seq.decoders.contract import (
    DecoderParts,
    DecoderState,
    Memory,
    StepOutput,
    UnrollOutput,
    project_ids,
)
from seq2seq.decoders.lexical import LexicalModel
from seq2seq.kernels.deferred_gradients import deferred_gradients
from seq2seq.kernels.dropout import Dropout
from seq2seq.recurrent.cells import Cell, CellStack, CellState
from seq2seq.recurrent.stack import RecurrentStack


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionParts:
    """The parts of a decoder with attention besides `DecoderParts` and recurrent layers.

    `feedback` is what the next step's cell gets of this step: the readout (input feeding of Luong
    et al., 2015, section 3.3), the context, or nothing. The readout is computed from the new state,
    or from the "previous" one, as in RNNsearch. With `context_to_upper` the context enters every
    upper layer too. `context_dropout` drops entries of contexts, the same at all steps of a
    sentence: it drops entries of the values that they are sums of.
    """

    attention: MemoryAttention
    context_size: int  # M
    coverage: Coverage | None = None
    feedback: Literal["readout", "context"] | None = None
    query_layer: Literal["top", "bottom"] = "top"  # whose hidden state is the query
    context_to_upper: bool = False
    readout_state: Literal["new", "previous"] = "new"
    context_dropout: float = 0.0
    lexical: LexicalModel | None = None


class StepAttention(NamedTuple):
    """The output of attention for one query of each hypothesis."""

    context: Tensor  # [R, M]
    weights: Tensor  # [R, N, S]
    coverage: Tensor | None  # [R, S, F] of the next step


class RecurrentOutput(NamedTuple):
    """The output of the recurrent layers and attention for one step."""

    layers: tuple[CellState, ...]  # the next states, lowest first
    output: Tensor  # [R, H], of the top layer, after self-attention
    past: ProjectedMemory | None  # for self-attention at the next step
    attended: StepAttention


class AttentiveDecoder(nn.Module, ABC):
    """A recurrent decoder that attends to the source at every step; see `AttentiveStep`."""

    def __init__(
        self, parts: DecoderParts, attending: AttentionParts, stack: RecurrentStack
    ) -> None:
        super().__init__()
        self.embedding = parts.embedding
        self.embedding_dropout = parts.dropout.embedding_dropout()
        self.dropout = parts.dropout.output_dropout()
        self.bridge = parts.bridge
        self.stack = stack
        self.attention = attending.attention
        self.coverage = attending.coverage
        self.self_attention = parts.self_attention
        self.readout = parts.readout
        self.feedback = attending.feedback
        sizes = {"readout": parts.readout.size, "context": attending.context_size, None: 0}
        self.feedback_size = sizes[attending.feedback]
        self.query_layer = attending.query_layer
        self.context_to_upper = attending.context_to_upper
        self.readout_state = attending.readout_state
        self.context_dropout = Dropout(attending.context_dropout, variational=True)
        self.lexical = attending.lexical

    @property
    def heads(self) -> int:
        """N, how many attention heads there are."""
        return self.attention.heads

    @abstractmethod
    def bind(self, memory: Memory) -> "AttentiveStep": ...

    def project_coverage(self, memory: Memory) -> Tensor | None:
        """The part of coverage that depends on memory alone: [B, S, ?]; None without coverage."""
        return None if self.coverage is None else self.coverage.project_memory(memory.values)

    def project_memory(self, values: Tensor) -> ProjectedMemory:
        return self.attention.project_memory(values, self.context_dropout(values))

    def embed(self, ids: Tensor) -> Tensor:
        """ids [B, ...] -> [B, ..., E]"""
        return self.embedding_dropout(self.embedding(ids))  # type: ignore[no-any-return]

    def upper_input(self, context: Tensor) -> Tensor | None:
        """The extra input of the upper layers. context [B, ..., M]"""
        return context if self.context_to_upper else None

    def unroll(self, decoder_input: Tensor, memory: Memory) -> UnrollOutput:
        embedded = self.embed(decoder_input)  # [B, T, E]
        bound = self.bind(memory)
        state = bound.start()
        states, contexts, readouts, weights = [], [], [], []
        steps = zip(bound.project(embedded).unbind(1), embedded.unbind(1), strict=True)
        with deferred_gradients(steps=decoder_input.shape[1]):
            for projected, embedding in steps:
                result = bound.advance(projected, state)
                states.append(bound.state_for_readout(result, state))
                contexts.append(result.attended.context)
                weights.append(result.attended.weights)
                if self.feedback == "readout":
                    readouts.append(self.readout(states[-1], contexts[-1], embedding))
                state = bound.next_state(state, result, readouts[-1] if readouts else None)
        joined = (
            torch.stack(readouts, dim=1)
            if readouts
            else self.readout(torch.stack(states, dim=1), torch.stack(contexts, dim=1), embedded)
        )  # [B, T, O]
        joined_weights = torch.stack(weights, dim=2)  # [B, N, T, S]
        return UnrollOutput(self.output_layer_input(joined, joined_weights, memory), joined_weights)

    def output_layer_input(self, readouts: Tensor, weights: Tensor, memory: Memory) -> Tensor:
        """Readouts, and after each the vector of the lexical model; dropout is applied.

        readouts [B, T, O], weights [B, N, T, S] -> [B, T, O], or [B, T, O + E] with a lexical model
        """
        if self.lexical is not None:
            assert memory.embeddings is not None
            lexical = self.lexical(weights, memory.embeddings)  # [B, T, E]
            readouts = torch.cat([readouts, lexical], dim=-1)
        return self.dropout(readouts)  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class AttentiveStep(ABC):
    """A decoder's steps, bound to B memories; an order of attention is an `advance` of its own.

    A step has R rows, R / B consecutive ones for each memory: all queries of a sentence are
    compared with the same keys, which are never repeated.
    """

    decoder: AttentiveDecoder
    memory: Memory
    cells: CellStack  # the weights of the decoder's layers, sliced once
    coverage_memory: Tensor | None  # [B, S, ?] of `project_coverage`

    @abstractmethod
    def advance(self, projected: Tensor, state: DecoderState) -> RecurrentOutput:
        """The recurrent layers and attention, in the order of the decoder. projected [R, G]"""

    @property
    def lowest_cell(self) -> Cell:
        """That whose input is the embedding."""
        return self.cells.cells[0]

    def project(self, embedded: Tensor) -> Tensor:
        """The part of the lowest gates that depends on the embeddings. [..., E] -> [..., G]"""
        return self.lowest_cell.project(embedded)

    def start(self) -> DecoderState:
        decoder, memory = self.decoder, self.memory
        rows, like = len(memory.summary), memory.summary
        return DecoderState(
            layers=decoder.bridge(memory.summary, memory.final_states),
            feedback=like.new_zeros(rows, decoder.feedback_size) if decoder.feedback else None,
            coverage=None if decoder.coverage is None else decoder.coverage.start(memory.values),
            step_index=torch.ones(rows, dtype=torch.int64, device=like.device),
        )

    def step(self, previous_ids: Tensor, state: DecoderState) -> StepOutput:
        decoder = self.decoder
        embedded = decoder.embed(previous_ids)  # [R, E]
        projected = project_ids(decoder, self.lowest_cell, previous_ids)  # [R, G]
        result = self.advance(projected, state)
        context, weights, _ = result.attended
        readout = decoder.readout(
            self.state_for_readout(result, state), context, embedded
        )  # [R, O]
        beside = decoder.output_layer_input(
            self._by_sentence(readout), self._by_sentence(weights).transpose(1, 2), self.memory
        )  # [B, L, O], the L rows of a sentence as if they were steps
        return StepOutput(beside.flatten(0, 1), weights, self.next_state(state, result, readout))

    def select(self, rows: Tensor) -> Self:
        coverage = self.coverage_memory
        return replace(
            self,
            memory=self.memory.select(rows),
            coverage_memory=None if coverage is None else coverage.index_select(0, rows),
        )

    def attend(self, query: Tensor, state: DecoderState) -> StepAttention:
        """Attend to the memories with one query of each hypothesis. query [R, H]

        The L queries of a sentence are the R / B hypotheses that it has.
        """
        memory = self.memory
        assert memory.projected is not None and state.step_index is not None
        queries = self._by_sentence(query)  # [B, L, H]
        coverage = None if state.coverage is None else self._by_sentence(state.coverage)
        context, weights = self.decoder.attention.attend(
            queries,
            memory.projected,
            AttentionMask.padding(memory.mask),
            steps=self._by_sentence(state.step_index),
            key_bias=self._key_bias(coverage),
        )  # [B, L, M], [B, N, L, S]
        weights = weights.transpose(1, 2)  # [B, L, N, S]
        covered = self._next_coverage(coverage, weights, queries)
        return StepAttention(context.flatten(0, 1), weights.flatten(0, 1), covered)

    def _by_sentence(self, rows: Tensor) -> Tensor:
        """[R, ...] -> [B, L, ...]"""
        return rows.reshape(len(self.memory.mask), -1, *rows.shape[1:])

    def _key_bias(self, coverage: Tensor | None) -> Tensor | None:
        """[B, L, S, F] -> [B, L, N, S, D_p]"""
        if self.decoder.coverage is None or coverage is None:
            return None
        return self.decoder.coverage.key_bias(coverage)

    def _next_coverage(
        self, coverage: Tensor | None, weights: Tensor, queries: Tensor
    ) -> Tensor | None:
        """[B, L, S, F], [B, L, N, S] and [B, L, H] -> [R, S, F]"""
        if self.decoder.coverage is None or coverage is None:
            return None
        assert self.coverage_memory is not None
        projected = self.coverage_memory.unsqueeze(1)  # [B, 1, S, ?]
        return self.decoder.coverage.update(coverage, projected, weights.mean(2), queries).flatten(
            0, 1
        )

    def self_attend(
        self, output: Tensor, past: ProjectedMemory | None
    ) -> tuple[Tensor, ProjectedMemory | None]:
        """Attend to the decoder's own states, this one included. output [R, H] -> [R, H]"""
        if self.decoder.self_attention is None:
            return output, None
        return self.decoder.self_attention.step(output, past)

    def state_for_readout(self, result: RecurrentOutput, state: DecoderState) -> Tensor:
        """The state that the readout is computed from. -> [R, H]"""
        if self.decoder.readout_state == "previous":
            return state.layers[-1].hidden
        return result.output

    def next_state(
        self, state: DecoderState, result: RecurrentOutput, readout: Tensor | None
    ) -> DecoderState:
        """The state of the next step. readout [R, O], needed only if it is fed back"""
        assert state.step_index is not None
        feedback = {"readout": readout, "context": result.attended.context, None: None}
        return DecoderState(
            result.layers,
            feedback[self.decoder.feedback],
            result.attended.coverage,
            result.past,
            state.step_index + 1,
        )
