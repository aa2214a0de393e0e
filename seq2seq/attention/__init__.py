"""Attention: C = softmax(f(Q, K)) V, with any score, mask, scope, normalizer and heads."""

from seq2seq.attention.attention import Attention, AttentionOutput, MultiHeadAttention, attend

__all__ = ["Attention", "AttentionOutput", "MultiHeadAttention", "attend"]
