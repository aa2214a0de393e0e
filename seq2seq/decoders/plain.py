"""A decoder without attention: the source is one vector, its summary."""

from typing import Literal

from torch import Tensor, nn

from seq2seq.attention.self_attention import SelfAttention
from seq2seq.decoders.contract import DecoderState, Memory, Step, Unrolled
from seq2seq.decoders.readout import Readout
from seq2seq.kernels.dropout import Dropout, EmbeddingDropout
from seq2seq.recurrent.stack import Bridge, RecurrentStack


class PlainDecoder(nn.Module):
    """s_t = RNN(x_t, s_{t-1}).

    context "state": the summary makes the first state and nothing else, x_t = E y_{t-1}
    (Sutskever et al., 2014). context "input": x_t = [E y_{t-1} ; summary], and the readout may read
    the summary too (Cho et al., 2014, equations 1 and 2). Nothing is fed back, so training needs
    no loop over time.
    """

    heads = 0  # no attention

    def __init__(
        self,
        *,
        embedding: nn.Embedding,
        bridge: Bridge,
        stack: RecurrentStack,
        readout: Readout,
        context: Literal["state", "input"] = "state",
        self_attention: SelfAttention | None = None,
        embedding_dropout: float = 0.0,
        word_dropout: float = 0.0,
        dropout: float = 0.0,
        variational: bool = False,
    ) -> None:
        super().__init__()
        self.context = context
        self.embedding = embedding
        self.embedding_dropout = EmbeddingDropout(
            embedding_dropout, words=word_dropout, variational=variational
        )
        self.dropout = Dropout(dropout, variational=variational)
        self.bridge = bridge
        self.stack = stack
        self.readout = readout
        self.self_attention = self_attention

    def project_memory(self, values: Tensor) -> None:
        return None

    def unroll(self, decoder_input: Tensor, memory: Memory) -> Unrolled:
        embedded = self.embedding_dropout(self.embedding(decoder_input))  # [B, T, E]
        layers, steps = self.start(memory).layers, embedded.shape[1]
        summary = memory.summary.unsqueeze(1).expand(-1, steps, -1)  # [B, T, Z]
        hidden = self.stack.unroll(
            embedded, layers, summary if self.context == "input" else None
        )  # [B, T, H]
        if self.self_attention is not None:
            hidden = self.self_attention.attend_causally(hidden)
        return Unrolled(self.dropout(self.readout(hidden, summary, embedded)), None)

    def start(self, memory: Memory) -> DecoderState:
        return DecoderState(self.bridge(memory.summary, memory.last))

    def step(self, previous_ids: Tensor, state: DecoderState, memory: Memory) -> Step:
        embedded = self.embedding_dropout(self.embedding(previous_ids))  # [B, E]
        cells, past = self.stack.stepper(), state.past
        layers, hidden = cells.advance(
            cells.project(embedded),
            state.layers,
            memory.summary if self.context == "input" else None,
        )
        if self.self_attention is not None:
            hidden, past = self.self_attention.step(hidden, past)
        readout = self.dropout(self.readout(hidden, memory.summary, embedded))
        return Step(readout, None, DecoderState(layers, past=past))
