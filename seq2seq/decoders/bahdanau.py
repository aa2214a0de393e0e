"""The decoder of Bahdanau et al. (2015): look before the cell, with the last step's state."""

import torch
from torch import Tensor, nn

from seq2seq.attention import Attention
from seq2seq.decoders.contract import DecoderState, Memory, Step, Unrolled
from seq2seq.recurrence import Bridge, CellKind, CellState, RecurrentStack


class BahdanauDecoder(nn.Module):
    """c_t = ATTN(s_{t-1}, H, H);  s_t = RNN([E y_{t-1} ; c_t], s_{t-1}).

    Section 3.1 of the paper. The readout is tanh(W [s_t ; c_t ; E y_{t-1}]), the
    g(y_{t-1}, s_t, c_t) of equation 4 as one layer with the new state, as in Nematus; the paper's
    appendix uses maxout of the previous state. With several layers, the top one asks and the
    context enters the lowest.
    """

    def __init__(
        self,
        *,
        embedding: nn.Embedding,
        attention: Attention,
        memory_size: int,
        hidden_size: int,
        readout_size: int,
        layers: int,
        cell: CellKind,
        embedding_dropout: float = 0.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.embedding = embedding
        self.embedding_dropout = nn.Dropout(embedding_dropout)
        self.dropout = nn.Dropout(dropout)
        self.bridge = Bridge(
            summary_size=memory_size, hidden_size=hidden_size, layers=layers, cell=cell
        )
        self.stack = RecurrentStack(
            cell=cell,
            input_size=embedding.embedding_dim,
            hidden_size=hidden_size,
            layers=layers,
            fed_size=memory_size,
            dropout=dropout,
        )
        self.attention = attention
        self.readout = nn.Linear(hidden_size + memory_size + embedding.embedding_dim, readout_size)

    def keys(self, values: Tensor) -> Tensor:
        return self.attention.keys(values)

    def unroll(self, decoder_input: Tensor, memory: Memory) -> Unrolled:
        embedded = self.embedding_dropout(self.embedding(decoder_input))  # [B, T, E]
        layers = self.start(memory).layers
        hidden, contexts, looks = [], [], []
        for gates in self.stack.project(embedded).unbind(1):
            layers, context, weights = self._advance(gates, layers, memory)
            hidden.append(layers[-1].hidden)
            contexts.append(context)
            looks.append(weights)
        read = [torch.stack(hidden, dim=1), torch.stack(contexts, dim=1), embedded]
        return Unrolled(self._read(*read), torch.stack(looks, dim=1))

    def start(self, memory: Memory) -> DecoderState:
        return DecoderState(self.bridge(memory.summary))

    def step(self, previous_ids: Tensor, state: DecoderState, memory: Memory) -> Step:
        embedded = self.embedding_dropout(self.embedding(previous_ids))  # [B, E]
        gates = self.stack.project(embedded)
        layers, context, weights = self._advance(gates, state.layers, memory)
        readout = self._read(layers[-1].hidden, context, embedded)
        return Step(readout, weights, DecoderState(layers))

    def _advance(
        self, gates: Tensor, layers: tuple[CellState, ...], memory: Memory
    ) -> tuple[tuple[CellState, ...], Tensor, Tensor]:
        """gates [B, G] -> new layers, context [B, M], weights [B, S]"""
        query = layers[-1].hidden.unsqueeze(1)  # [B, 1, H]
        context, weights = self.attention(query, memory.keys, memory.values, memory.mask)
        context = context.squeeze(1)
        return self.stack.advance(gates, layers, context), context, weights.squeeze(1)

    def _read(self, hidden: Tensor, context: Tensor, embedded: Tensor) -> Tensor:
        """[..., H], [..., M], [..., E] -> [..., R]"""
        read = torch.cat([hidden, context, embedded], dim=-1)
        return self.dropout(torch.tanh(self.readout(read)))  # type: ignore[no-any-return]
