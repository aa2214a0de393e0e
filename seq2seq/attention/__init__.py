"""Attention: C = softmax(f(Q, K)) V, with any score, mask, scope, normalizer and heads."""

from seq2seq.attention.attention import Attention, AttentionOutput, MultiHeadAttention, attend
from seq2seq.attention.masks import AttentionMask

__all__ = ["Attention", "AttentionMask", "AttentionOutput", "MultiHeadAttention", "attend"]
