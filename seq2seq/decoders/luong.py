"""The decoder of Luong et al. (2015): look after the cell, with its new state."""

import torch
from torch import Tensor, nn

from seq2seq.attention import Attention
from seq2seq.decoders.contract import DecoderState, Memory, Step, Unrolled
from seq2seq.recurrence import Bridge, CellKind, RecurrentStack


class LuongDecoder(nn.Module):
    """h_t = RNN([E y_{t-1} ; z_{t-1}], h_{t-1});  c_t = ATTN(h_t, H, H).

    The readout is z_t = tanh(W [c_t ; h_t]).
    Equations 5 and 6 and section 3.3 (input feeding, z_0 = 0) of the paper. Without input feeding
    nothing depends on the step before but the recurrence: training needs no loop over time.
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
        input_feeding: bool = True,
        embedding_dropout: float = 0.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.embedding = embedding
        self.embedding_dropout = nn.Dropout(embedding_dropout)
        self.dropout = nn.Dropout(dropout)
        self.input_feeding = input_feeding
        self.bridge = Bridge(
            summary_size=memory_size, hidden_size=hidden_size, layers=layers, cell=cell
        )
        self.stack = RecurrentStack(
            cell=cell,
            input_size=embedding.embedding_dim,
            hidden_size=hidden_size,
            layers=layers,
            fed_size=readout_size if input_feeding else 0,
            dropout=dropout,
        )
        self.attention = attention
        self.readout = nn.Linear(memory_size + hidden_size, readout_size, bias=False)

    def keys(self, values: Tensor) -> Tensor:
        return self.attention.keys(values)

    def unroll(self, decoder_input: Tensor, memory: Memory) -> Unrolled:
        embedded = self.embedding_dropout(self.embedding(decoder_input))  # [B, T, E]
        state = self.start(memory)
        if not self.input_feeding:
            hidden = self.stack.unroll(embedded, state.layers)  # [B, T, H]
            readouts, weights = self._look(hidden, memory)
            return Unrolled(self.dropout(readouts), weights)
        projected = self.stack.project(embedded)  # [B, T, G]
        steps = []
        for gates in projected.unbind(1):
            step = self._advance(gates, state, memory)
            state = step.state
            steps.append(step)
        readouts = torch.stack([step.readout for step in steps], dim=1)  # [B, T, R]
        weights = torch.stack([step.weights for step in steps], dim=1)  # type: ignore[misc]
        return Unrolled(self.dropout(readouts), weights)

    def start(self, memory: Memory) -> DecoderState:
        layers = self.bridge(memory.summary)
        if not self.input_feeding:
            return DecoderState(layers)
        nothing = memory.summary.new_zeros(len(memory.summary), self.readout.out_features)
        return DecoderState(layers, nothing)

    def step(self, previous_ids: Tensor, state: DecoderState, memory: Memory) -> Step:
        embedded = self.embedding_dropout(self.embedding(previous_ids))  # [B, E]
        step = self._advance(self.stack.project(embedded), state, memory)
        return Step(self.dropout(step.readout), step.weights, step.state)

    def _advance(self, gates: Tensor, state: DecoderState, memory: Memory) -> Step:
        """One step from the projected embedding. gates [B, G]"""
        layers = self.stack.advance(gates, state.layers, state.fed)
        readout, weights = self._look(layers[-1].hidden.unsqueeze(1), memory)
        readout = readout.squeeze(1)  # [B, R]
        fed = readout if self.input_feeding else None
        return Step(readout, weights.squeeze(1), DecoderState(layers, fed))

    def _look(self, hidden: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """hidden [B, T, H] -> readouts [B, T, R], weights [B, T, S]"""
        context, weights = self.attention(hidden, memory.keys, memory.values, memory.mask)
        return torch.tanh(self.readout(torch.cat([context, hidden], dim=-1))), weights
