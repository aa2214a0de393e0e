"""A decoder without attention: the source is one vector, its summary."""

from typing import Literal

import torch
from torch import Tensor, nn

from seq2seq.decoders.contract import DecoderState, Memory, Step, Unrolled
from seq2seq.recurrence import Bridge, CellKind, RecurrentStack


class PlainDecoder(nn.Module):
    """s_t = RNN(x_t, s_{t-1}), readout tanh(W [s_t ; summary]).

    context "state": the summary makes the first state and nothing else, x_t = E y_{t-1}, and the
    readout reads s_t alone (Sutskever et al., 2014). context "input": x_t = [E y_{t-1} ; summary],
    and the readout reads the summary too (Cho et al., 2014, equations 1 and 2). Nothing is fed
    back, so training needs no loop over time.
    """

    def __init__(
        self,
        *,
        embedding: nn.Embedding,
        memory_size: int,
        hidden_size: int,
        readout_size: int,
        layers: int,
        cell: CellKind,
        context: Literal["state", "input"] = "state",
        embedding_dropout: float = 0.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        width = memory_size if context == "input" else 0
        self.context = context
        self.embedding = embedding
        self.embedding_dropout = nn.Dropout(embedding_dropout)
        self.dropout = nn.Dropout(dropout)
        self.bridge = Bridge(
            summary_size=memory_size, hidden_size=hidden_size, layers=layers, cell=cell
        )
        self.stack = RecurrentStack(
            cell=cell,
            input_size=embedding.embedding_dim + width,
            hidden_size=hidden_size,
            layers=layers,
            dropout=dropout,
        )
        self.readout = nn.Linear(hidden_size + width, readout_size)

    def keys(self, values: Tensor) -> None:
        return None

    def unroll(self, decoder_input: Tensor, memory: Memory) -> Unrolled:
        embedded = self.embedding_dropout(self.embedding(decoder_input))  # [B, T, E]
        summary = memory.summary.unsqueeze(1).expand(-1, embedded.shape[1], -1)  # [B, T, M]
        hidden = self.stack.unroll(
            self._with_context(embedded, summary), self.start(memory).layers
        )  # [B, T, H]
        readouts = torch.tanh(self.readout(self._with_context(hidden, summary)))  # [B, T, R]
        return Unrolled(self.dropout(readouts), None)

    def start(self, memory: Memory) -> DecoderState:
        return DecoderState(self.bridge(memory.summary))

    def step(self, previous_ids: Tensor, state: DecoderState, memory: Memory) -> Step:
        embedded = self.embedding_dropout(self.embedding(previous_ids))  # [B, E]
        projected = self.stack.project(self._with_context(embedded, memory.summary))
        layers = self.stack.advance(projected, state.layers)
        read = self._with_context(layers[-1].hidden, memory.summary)
        return Step(self.dropout(torch.tanh(self.readout(read))), None, DecoderState(layers))

    def _with_context(self, inputs: Tensor, summary: Tensor) -> Tensor:
        return torch.cat([inputs, summary], dim=-1) if self.context == "input" else inputs
