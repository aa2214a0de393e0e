"""Attention: C = softmax(f(Q, K)) V, with any score, mask, scope, normalizer and heads."""

from seq2seq.attention.attention import AttentionOutput, Attention, MultiHeadAttention, attend

__all__ = ["AttentionOutput", "Attention", "MultiHeadAttention", "attend"]
