"""The order of Bahdanau et al. (2015): look before the cell, with the last step's state."""

import torch
from torch import Tensor

from seq2seq.decoders.attentive import AttentiveDecoder, Moved, Stepping
from seq2seq.decoders.contract import DecoderState, Memory


class BahdanauDecoder(AttentiveDecoder):
    """c_t = ATTN(s_{t-1}, H, H);  s_t = RNN([E y_{t-1} ; c_t], s_{t-1}).

    Section 3.1 of the paper. With several layers the top one asks and the context enters the
    lowest; in GNMT (Wu et al., 2016, section 3) the lowest asks and the context enters all.
    """

    def stepping(self) -> Stepping:
        cells = self.stack.stepper()
        asks = -1 if self.query_layer == "top" else 0

        def advance(gates: Tensor, state: DecoderState, memory: Memory) -> Moved:
            look = self.look(state.layers[asks].hidden, state, memory)
            fed = look.context if state.fed is None else torch.cat([look.context, state.fed], -1)
            layers, hidden = cells.advance(gates, state.layers, fed, self.to_upper(look.context))
            hidden, past = self.recall(hidden, state.past)
            return Moved(layers, hidden, past, look)

        return Stepping(cells.project, advance)
