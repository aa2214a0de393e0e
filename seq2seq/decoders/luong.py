"""The order of Luong et al. (2015): attention after the cell, with its new state."""

from torch import Tensor

from seq2seq.attention.masks import AttentionMask
from seq2seq.decoders.attentive import AttentiveDecoder, AttentiveStep, RecurrentOutput
from seq2seq.decoders.contract import DecoderState, Memory, UnrollOutput


class LuongDecoder(AttentiveDecoder):
    """h_t = RNN([E y_{t-1} ; z_{t-1}], h_{t-1});  c_t = ATTN(h_t, H, H);  z_t the readout.

    Section 3 and section 3.3 (input feeding, z_0 = 0) of the paper. With query_layer "bottom" the
    query is the lowest layer's state, as in RNMT+ (Chen et al., 2018), and the context may enter
    the layers above. Where attention changes nothing at the next step, training needs no loop over
    time.
    """

    def bind(self, memory: Memory) -> "LuongStep":
        return LuongStep(self, memory, self.stack.cells(), self.project_coverage(memory))

    def unroll(self, decoder_input: Tensor, memory: Memory) -> UnrollOutput:
        if self.feedback or self.coverage is not None or self.readout_state == "previous":
            return super().unroll(decoder_input, memory)
        assert memory.projected is not None
        mask = AttentionMask.padding(memory.mask)
        embedded = self.embed(decoder_input)  # [B, T, E]
        first = self.bridge(memory.summary, memory.final_states)
        if self.query_layer == "top":
            output = self._self_attend(self.stack.unroll(embedded, first))  # [B, T, H]
            context, weights = self.attention.attend(output, memory.projected, mask)
        else:
            lowest = self.stack.unroll_lowest(embedded, first[0])  # [B, T, H]
            context, weights = self.attention.attend(lowest, memory.projected, mask)
            upper = self.stack.unroll_upper(lowest, first[1:], self.upper_input(context))
            output = self._self_attend(upper)
        readouts = self.readout(output, context, embedded)  # [B, T, O]
        return UnrollOutput(self.output_layer_input(readouts, weights, memory), weights)

    def _self_attend(self, outputs: Tensor) -> Tensor:
        """[B, T, H] -> [B, T, H]"""
        if self.self_attention is None:
            return outputs
        return self.self_attention.attend_causally(outputs)


class LuongStep(AttentiveStep):
    def advance(self, projected: Tensor, state: DecoderState) -> RecurrentOutput:
        if self.decoder.query_layer == "top":
            layers, output = self.cells.step(projected, state.layers, state.feedback)
            output, past = self.self_attend(output, state.past)
            return RecurrentOutput(layers, output, past, self.attend(output, state))
        lowest = self.cells.step_lowest(projected, state.layers[0], state.feedback)
        attended = self.attend(lowest.hidden, state)
        upper, output = self.cells.step_upper(
            lowest.hidden, state.layers[1:], self.decoder.upper_input(attended.context)
        )
        output, past = self.self_attend(output, state.past)
        return RecurrentOutput((lowest, *upper), output, past, attended)
