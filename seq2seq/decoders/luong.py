"""The order of Luong et al. (2015): look after the cell, with its new state."""

from torch import Tensor

from seq2seq.decoders.attentive import AttentiveDecoder, Moved, Stepping
from seq2seq.decoders.contract import DecoderState, Memory, Unrolled


class LuongDecoder(AttentiveDecoder):
    """h_t = RNN([E y_{t-1} ; z_{t-1}], h_{t-1});  c_t = ATTN(h_t, H, H);  z_t the readout.

    Section 3 and section 3.3 (input feeding, z_0 = 0) of the paper. With query_layer "bottom" the
    lowest layer asks, as in RNMT+ (Chen et al., 2018), and the layers above may read the context.
    Where nothing of a look reaches the next step, training needs no loop over time.
    """

    def stepping(self) -> Stepping:
        cells = self.stack.stepper()

        def top_asks(gates: Tensor, state: DecoderState, memory: Memory) -> Moved:
            layers, hidden = cells.advance(gates, state.layers, state.fed)
            hidden, past = self.recall(hidden, state.past)
            return Moved(layers, hidden, past, self.look(hidden, state, memory))

        def bottom_asks(gates: Tensor, state: DecoderState, memory: Memory) -> Moved:
            lowest = cells.lowest(gates, state.layers[0], state.fed)
            look = self.look(lowest.hidden, state, memory)
            upper, hidden = cells.upper(
                lowest.hidden, state.layers[1:], self.to_upper(look.context)
            )
            hidden, past = self.recall(hidden, state.past)
            return Moved((lowest, *upper), hidden, past, look)

        return Stepping(cells.project, top_asks if self.query_layer == "top" else bottom_asks)

    def unroll(self, decoder_input: Tensor, memory: Memory) -> Unrolled:
        if self.feeds or self.coverage is not None or self.reads_previous:
            return super().unroll(decoder_input, memory)
        embedded = self.embedding_dropout(self.embedding(decoder_input))  # [B, T, E]
        before = self.start(memory).layers
        if self.query_layer == "top":
            hidden = self.recall_everywhere(self.stack.unroll(embedded, before))  # [B, T, H]
            context, weights = self.look_everywhere(hidden, memory)
        else:
            lowest = self.stack.unroll_lowest(embedded, before[0])
            context, weights = self.look_everywhere(lowest, memory)
            upper = self.stack.unroll_upper(lowest, before[1:], self.to_upper(context))
            hidden = self.recall_everywhere(upper)
        return Unrolled(self.dropout(self.readout(hidden, context, embedded)), weights)
