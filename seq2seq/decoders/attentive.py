"""What decoders with attention share: the loop over time, and everything around the look."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from seq2seq.attention.attention import Attention, MultiHeadAttention, ProjectedMemory
from seq2seq.attention.coverage import Coverage, CoverageState
from seq2seq.attention.masks import AttentionMask
from seq2seq.attention.self_attention import SelfAttention
from seq2seq.decoders.contract import DecoderState, Memory, Step, Unrolled
from seq2seq.decoders.readout import Readout
from seq2seq.kernels.dropout import Dropout, EmbeddingDropout
from seq2seq.recurrent.cells import CellState
from seq2seq.recurrent.stack import Bridge, RecurrentStack


class Looked(NamedTuple):
    """What one look at the source gave."""

    context: Tensor  # [B, C]
    weights: Tensor  # [B, N, S]
    coverage: CoverageState | None


class Moved(NamedTuple):
    """One step of the cells with its look."""

    layers: tuple[CellState, ...]
    hidden: Tensor  # [B, H], what the top layer gives
    past: ProjectedMemory | None
    look: Looked


class Stepping(NamedTuple):
    """A decoder's two halves of a step, with the cells' weights read once for a whole unroll."""

    project: Callable[[Tensor], Tensor]  # embeddings [..., E] -> gates [..., G]
    advance: Callable[[Tensor, DecoderState, Memory], Moved]  # gates [B, G]


class AttentiveDecoder(nn.Module, ABC):
    """A recurrent decoder that looks at the source at every step; orders differ in `stepping`.

    `feeds` says what the next step's cell is given of this one: the readout (input feeding of Luong
    et al., 2015, section 3.3), the context, or nothing. The readout reads the new state, or with
    `reads_previous` that of the step before, as in RNNsearch. With `context_to_upper` the context
    enters every upper layer too. `context_dropout` drops entries of contexts, the same at all steps
    of a sentence: those of every value that is mixed.
    """

    def __init__(
        self,
        *,
        embedding: nn.Embedding,
        bridge: Bridge,
        stack: RecurrentStack,
        attention: Attention | MultiHeadAttention,
        readout: Readout,
        context_size: int,
        coverage: Coverage | None = None,
        self_attention: SelfAttention | None = None,
        feeds: Literal["readout", "context"] | None = None,
        query_layer: Literal["top", "bottom"] = "top",
        context_to_upper: bool = False,
        reads_previous: bool = False,
        context_dropout: float = 0.0,
        embedding_dropout: float = 0.0,
        word_dropout: float = 0.0,
        dropout: float = 0.0,
        variational: bool = False,
    ) -> None:
        super().__init__()
        self.embedding = embedding
        self.embedding_dropout = EmbeddingDropout(
            embedding_dropout, words=word_dropout, variational=variational
        )
        self.dropout = Dropout(dropout, variational=variational)
        self.bridge = bridge
        self.stack = stack
        self.attention = attention
        self.coverage = coverage
        self.self_attention = self_attention
        self.readout = readout
        self.feeds = feeds
        self.fed_size = {"readout": readout.size, "context": context_size, None: 0}[feeds]
        self.query_layer = query_layer
        self.context_to_upper = context_to_upper
        self.reads_previous = reads_previous
        self.context_dropout = Dropout(context_dropout, variational=True)

    @property
    def heads(self) -> int:
        """N, how many attention heads there are."""
        return self.attention.heads

    @abstractmethod
    def stepping(self) -> Stepping:
        """How one step is taken: where the look stands among the cells."""

    def project_memory(self, values: Tensor) -> ProjectedMemory:
        return self.attention.project_memory(values, self.context_dropout(values))

    def unroll(self, decoder_input: Tensor, memory: Memory) -> Unrolled:
        assert memory.projected is not None
        memory = replace(memory, projected=self.attention.looped(memory.projected))
        embedded = self.embedding_dropout(self.embedding(decoder_input))  # [B, T, E]
        stepping, state, read = self.stepping(), self.start(memory), self.readout.looped()
        states, contexts, readouts, weights = [], [], [], []
        for gates, word in zip(
            stepping.project(embedded).unbind(1), embedded.unbind(1), strict=True
        ):
            moved = stepping.advance(gates, state, memory)
            states.append(self._read_state(moved, state))
            contexts.append(moved.look.context)
            weights.append(moved.look.weights)
            if self.feeds == "readout":
                readouts.append(read(states[-1], moved.look.context, word))
            state = self._next(state, moved, readouts[-1] if readouts else None)
        joined = (
            torch.stack(readouts, dim=1)
            if readouts
            else self.readout(torch.stack(states, dim=1), torch.stack(contexts, dim=1), embedded)
        )  # [B, T, R]
        return Unrolled(self.dropout(joined), torch.stack(weights, dim=2))

    def start(self, memory: Memory) -> DecoderState:
        rows, like = len(memory.summary), memory.summary
        return DecoderState(
            layers=self.bridge(memory.summary, memory.last),
            fed=like.new_zeros(rows, self.fed_size) if self.feeds else None,
            coverage=None if self.coverage is None else self.coverage.start(memory.values),
            number=torch.ones(rows, dtype=torch.int64, device=like.device),
        )

    def step(self, previous_ids: Tensor, state: DecoderState, memory: Memory) -> Step:
        embedded = self.embedding_dropout(self.embedding(previous_ids))  # [B, E]
        project, advance = self.stepping()
        moved = advance(project(embedded), state, memory)
        context, weights, _ = moved.look
        readout = self.readout(self._read_state(moved, state), context, embedded)
        return Step(self.dropout(readout), weights, self._next(state, moved, readout))

    def look(self, query: Tensor, state: DecoderState, memory: Memory) -> Looked:
        """Ask with one query a sentence. query [B, H]"""
        assert memory.projected is not None and state.number is not None
        key_bias = None
        if self.coverage is not None:
            assert state.coverage is not None
            key_bias = self.coverage.key_bias(state.coverage)
        context, weights = self.attention.attend(
            query.unsqueeze(1),
            memory.projected,
            AttentionMask.padding(memory.mask),
            steps=state.number.unsqueeze(1),
            key_bias=key_bias,
        )  # [B, 1, C], [B, N, 1, S]
        weights = weights.squeeze(2)
        coverage = None
        if self.coverage is not None:
            assert state.coverage is not None
            coverage = self.coverage.update(state.coverage, weights.mean(1), query)
        return Looked(context.squeeze(1), weights, coverage)

    def look_everywhere(self, queries: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Ask with all steps at once. queries [B, T, H] -> [B, T, C], weights [B, N, T, S]"""
        assert memory.projected is not None
        mask = AttentionMask.padding(memory.mask)
        return self.attention.attend(queries, memory.projected, mask)

    def recall(
        self, hidden: Tensor, past: ProjectedMemory | None
    ) -> tuple[Tensor, ProjectedMemory | None]:
        """Look at the decoder's own states, this one included. hidden [B, H] -> [B, H]"""
        if self.self_attention is None:
            return hidden, None
        return self.self_attention.step(hidden, past)

    def recall_everywhere(self, hidden: Tensor) -> Tensor:
        """All steps at once, each seeing itself and those before. [B, T, H] -> [B, T, H]"""
        if self.self_attention is None:
            return hidden
        return self.self_attention.attend_causally(hidden)

    def to_upper(self, context: Tensor) -> Tensor | None:
        """What the upper layers are given of a context."""
        return context if self.context_to_upper else None

    def _read_state(self, moved: Moved, before: DecoderState) -> Tensor:
        """The state that the readout reads. -> [B, H]"""
        return before.layers[-1].hidden if self.reads_previous else moved.hidden

    def _next(self, state: DecoderState, moved: Moved, readout: Tensor | None) -> DecoderState:
        assert state.number is not None
        fed = {"readout": readout, "context": moved.look.context, None: None}[self.feeds]
        return DecoderState(moved.layers, fed, moved.look.coverage, moved.past, state.number + 1)
