"""What decoders with attention share: the loop over time, and everything around the look."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from seq2seq.attention.attention import Attention, MultiHeadAttention, Prepared
from seq2seq.attention.coverage import Coverage, CoverageState
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
    past: Prepared | None
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

    @abstractmethod
    def stepping(self) -> Stepping:
        """How one step is taken: where the look stands among the cells."""

    def prepare(self, values: Tensor) -> Prepared:
        return self.attention.prepare(values, self.context_dropout(values))

    def unroll(self, decoder_input: Tensor, memory: Memory) -> Unrolled:
        assert memory.prepared is not None
        memory = replace(memory, prepared=self.attention.looped(memory.prepared))
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
        return Unrolled(self.dropout(joined), torch.stack(weights, dim=1))

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
        assert memory.prepared is not None and state.number is not None
        shift = None
        if self.coverage is not None:
            assert state.coverage is not None
            shift = self.coverage.shift(state.coverage)
        context, weights = self.attention.look(
            query.unsqueeze(1),
            memory.prepared,
            memory.mask,
            steps=state.number.unsqueeze(1),
            shift=shift,
        )  # [B, 1, C]; [B, 1, S] or [B, N, 1, S]
        weights = weights if weights.dim() == 3 else weights.squeeze(2)  # [B, N, S]
        coverage = None
        if self.coverage is not None:
            assert state.coverage is not None
            coverage = self.coverage.update(state.coverage, weights.mean(1), query)
        return Looked(context.squeeze(1), weights, coverage)

    def look_everywhere(self, queries: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Ask with all steps at once. queries [B, T, H] -> [B, T, C], weights [B, T, N, S]"""
        assert memory.prepared is not None
        context, weights = self.attention.look(queries, memory.prepared, memory.mask)
        return context, weights.unsqueeze(2) if weights.dim() == 3 else weights.transpose(1, 2)

    def recall(self, hidden: Tensor, past: Prepared | None) -> tuple[Tensor, Prepared | None]:
        """Look at the decoder's own states, this one included. hidden [B, H] -> [B, H]"""
        if self.self_attention is None:
            return hidden, None
        return self.self_attention.recall(hidden, past)

    def recall_everywhere(self, hidden: Tensor) -> Tensor:
        """All steps at once, each seeing itself and those before. [B, T, H] -> [B, T, H]"""
        if self.self_attention is None:
            return hidden
        return self.self_attention.recall_everywhere(hidden)

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
