"""Attention: C = softmax(f(Q, K)) V, with any score, mask, scope, normalizer and heads."""

from seq2seq.attention.attention import Attended, Attention, MultiHeadAttention, attend

__all__ = ["Attended", "Attention", "MultiHeadAttention", "attend"]
