"""The lexical model: what the source words under attention translate to, whatever the context."""

from __future__ import annotations

from torch import Tensor, nn

from seq2seq.kernels.products import linear
from seq2seq.kernels.tanh import tanh


class LexicalModel(nn.Module):
    """f_t = tanh(sum_s a_ts f_s);  h_t = tanh(W f_t + b) + f_t.

    Nguyen & Chiang (2018), section 4: f_s are the source embeddings and a_t the attention weights,
    here the mean of all heads; b is ours. The output layer adds W_l h_t to the logits, so that a
    rare word is learnt from few pairs: a word of the source votes for its translations by itself.
    """

    def __init__(self, size: int) -> None:
        """size: E, the width of the source embeddings"""
        super().__init__()
        self.size = size
        self.linear = nn.Linear(size, size)

    def forward(self, weights: Tensor, embeddings: Tensor) -> Tensor:
        """weights [B, N, T, S], embeddings [B, S, E] -> [B, T, E]"""
        attended = tanh(weights.mean(1) @ embeddings)  # [B, T, E]
        return tanh(linear(attended, self.linear.weight, self.linear.bias)) + attended
