"""The order of Bahdanau et al. (2015): attention before the cell, with the previous state."""

import torch
from torch import Tensor

from seq2seq.decoders.attentive import AttentiveDecoder, AttentiveStep, RecurrentOutput
from seq2seq.decoders.contract import DecoderState, Memory


class BahdanauDecoder(AttentiveDecoder):
    """c_t = ATTN(s_{t-1}, H, H);  s_t = RNN([E y_{t-1} ; c_t], s_{t-1}).

    Section 3.1 of the paper. With several layers the query is the top one's state and the context
    enters the lowest; in GNMT (Wu et al., 2016, section 3) the query is the lowest one's state and
    the context enters all.
    """

    def bind(self, memory: Memory) -> "BahdanauStep":
        return BahdanauStep(self, memory, self.stack.cells(), self.project_coverage(memory))


class BahdanauStep(AttentiveStep):
    def advance(self, projected: Tensor, state: DecoderState) -> RecurrentOutput:
        previous = state.layers[-1 if self.decoder.query_layer == "top" else 0]
        attended = self.attend(previous.hidden, state)
        context = attended.context  # c_t [R, M]
        extra = context if state.feedback is None else torch.cat([context, state.feedback], dim=-1)
        layers, output = self.cells.step(
            projected, state.layers, extra, self.decoder.upper_input(context)
        )
        output, past = self.self_attend(output, state.past)
        return RecurrentOutput(layers, output, past, attended)
