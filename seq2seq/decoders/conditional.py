"""The order of Nematus (Sennrich et al., 2017): attention between two cells, a conditional GRU."""

from dataclasses import dataclass

from torch import Tensor

from seq2seq.decoders.attentive import (
    AttentionParts,
    AttentiveDecoder,
    AttentiveStep,
    RecurrentOutput,
)
from seq2seq.decoders.contract import DecoderParts, DecoderState, Memory
from seq2seq.recurrent.cells import Cell
from seq2seq.recurrent.layers import RecurrentLayer
from seq2seq.recurrent.stack import RecurrentStack


class ConditionalDecoder(AttentiveDecoder):
    """s'_t = RNN_1(E y_{t-1}, s_{t-1});  c_t = ATTN(s'_t, H, H);  s_t = RNN_2(c_t, s'_t).

    "cGRU with attention", section 2 of the paper. `first` is RNN_1; the lowest layer of the
    stack is RNN_2, whose input is the context.
    """

    def __init__(
        self,
        parts: DecoderParts,
        attending: AttentionParts,
        stack: RecurrentStack,
        *,
        first: RecurrentLayer,
    ) -> None:
        super().__init__(parts, attending, stack)
        self.first = first

    def bind(self, memory: Memory) -> "ConditionalStep":
        coverage = self.project_coverage(memory)
        return ConditionalStep(self, memory, self.stack.cells(), coverage, self.first.cell())


@dataclass(frozen=True, slots=True)
class ConditionalStep(AttentiveStep):
    first: Cell  # RNN_1

    @property
    def lowest_cell(self) -> Cell:
        return self.first

    def advance(self, projected: Tensor, state: DecoderState) -> RecurrentOutput:
        between = self.first.step(projected, state.layers[0], state.feedback)  # s'_t
        attended = self.attend(between.hidden, state)
        context = attended.context  # c_t [R, M]
        lowest = self.cells.step_lowest(self.cells.project(context), between)
        upper, output = self.cells.step_upper(
            lowest.hidden, state.layers[1:], self.decoder.upper_input(context)
        )
        output, past = self.self_attend(output, state.past)
        return RecurrentOutput((lowest, *upper), output, past, attended)
