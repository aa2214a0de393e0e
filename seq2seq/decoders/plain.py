"""A decoder without attention: the source is one vector, its summary."""

from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor, nn

from seq2seq.decoders.contract import (
    DecoderParts,
    DecoderState,
    Memory,
    StepOutput,
    UnrollOutput,
    project_ids,
)
from seq2seq.recurrent.cells import CellStack
from seq2seq.recurrent.stack import RecurrentStack


class PlainDecoder(nn.Module):
    """s_t = RNN(x_t, s_{t-1}).

    context "state": the summary determines the first state and nothing else, x_t = E y_{t-1}
    (Sutskever et al., 2014). context "input": x_t = [E y_{t-1} ; summary], and the readout may
    depend on the summary too (Cho et al., 2014, section 2.2). Nothing is fed back, so
    training needs no loop over time.
    """

    heads = 0  # no attention

    def __init__(
        self,
        parts: DecoderParts,
        stack: RecurrentStack,
        *,
        context: Literal["state", "input"] = "state",
    ) -> None:
        super().__init__()
        self.context = context
        self.embedding = parts.embedding
        self.embedding_dropout = parts.dropout.embedding_dropout()
        self.dropout = parts.dropout.output_dropout()
        self.bridge = parts.bridge
        self.stack = stack
        self.readout = parts.readout
        self.self_attention = parts.self_attention

    def project_memory(self, values: Tensor) -> None:
        return None

    def unroll(self, decoder_input: Tensor, memory: Memory) -> UnrollOutput:
        embedded = self.embed(decoder_input)  # [B, T, E]
        summary = memory.summary.unsqueeze(1).expand(-1, embedded.shape[1], -1)  # [B, T, Z]
        first = self.bridge(memory.summary, memory.final_states)
        outputs = self.stack.unroll(embedded, first, self.extra_input(summary))  # [B, T, H]
        if self.self_attention is not None:
            outputs = self.self_attention.attend_causally(outputs)
        return UnrollOutput(self.dropout(self.readout(outputs, summary, embedded)), None)

    def bind(self, memory: Memory) -> "PlainStep":
        return PlainStep(self, memory, self.stack.cells())

    def embed(self, ids: Tensor) -> Tensor:
        """ids [B, ...] -> [B, ..., E]"""
        return self.embedding_dropout(self.embedding(ids))  # type: ignore[no-any-return]

    def extra_input(self, summary: Tensor) -> Tensor | None:
        """The input of the lowest layer beside the embedding. summary [B, ..., Z]"""
        return summary if self.context == "input" else None


@dataclass(frozen=True, slots=True)
class PlainStep:
    """The steps of a `PlainDecoder`, bound to B memories."""

    decoder: PlainDecoder
    memory: Memory
    cells: CellStack

    def start(self) -> DecoderState:
        return DecoderState(self.decoder.bridge(self.memory.summary, self.memory.final_states))

    def step(self, previous_ids: Tensor, state: DecoderState) -> StepOutput:
        decoder, summary, past = self.decoder, self.memory.summary, state.past
        embedded = decoder.embed(previous_ids)  # [R, E]
        summary = summary.repeat_interleave(len(embedded) // len(summary), dim=0)  # [R, Z]
        projected = project_ids(decoder, self.cells.cells[0], previous_ids)  # [R, G]
        layers, output = self.cells.step(projected, state.layers, decoder.extra_input(summary))
        if decoder.self_attention is not None:
            output, past = decoder.self_attention.step(output, past)
        readout = decoder.dropout(decoder.readout(output, summary, embedded))  # [R, O]
        return StepOutput(readout, None, DecoderState(layers, past=past))

    def select(self, rows: Tensor) -> "PlainStep":
        return replace(self, memory=self.memory.select(rows))
