"""The order of Nematus (Sennrich et al., 2017): look between two cells, the conditional GRU."""

from typing import Any

from torch import Tensor

from seq2seq.decoders.attentive import AttentiveDecoder, Moved, Stepping
from seq2seq.decoders.contract import DecoderState, Memory
from seq2seq.recurrent.layers import RecurrentLayer


class ConditionalDecoder(AttentiveDecoder):
    """s'_t = RNN_1(E y_{t-1}, s_{t-1});  c_t = ATTN(s'_t, H, H);  s_t = RNN_2(c_t, s'_t).

    "cGRU with attention", sections 2 and 3 of the paper. `first` is RNN_1; the lowest layer of the
    stack is RNN_2, whose input is the context.
    """

    def __init__(self, *, first: RecurrentLayer, **common: Any) -> None:
        super().__init__(**common)
        self.first = first

    def stepping(self) -> Stepping:
        first, cells = self.first.cell(), self.stack.stepper()

        def advance(gates: Tensor, state: DecoderState, memory: Memory) -> Moved:
            between = first.advance(gates, state.layers[0], state.fed)
            look = self.look(between.hidden, state, memory)
            lowest = cells.lowest(cells.project(look.context), between)
            upper, hidden = cells.upper(
                lowest.hidden, state.layers[1:], self.to_upper(look.context)
            )
            hidden, past = self.recall(hidden, state.past)
            return Moved((lowest, *upper), hidden, past, look)

        return Stepping(first.project, advance)
