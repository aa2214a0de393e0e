"""The encoder: source ids to one state a token, read in both directions."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seq2seq.masks import length_mask
from seq2seq.recurrence import CellKind, initialise_recurrent


class Encoded(NamedTuple):
    """A batch of sources as the encoder leaves them, S the length of the longest."""

    states: Tensor  # [B, S, M], 0 where there is padding
    mask: Tensor  # [B, S] bool
    summary: Tensor  # [B, M], each direction's last state of the top layer


class BidirectionalEncoder(nn.Module):
    """Bidirectional recurrent layers (Schuster & Paliwal, 1997), dropout between them.

    Sequences are packed, so that neither direction ever reads padding. With `residual`, what a
    layer reads is added to what it makes, after dropout, wherever both are equally wide.
    """

    def __init__(
        self,
        *,
        embedding: nn.Embedding,
        hidden_size: int,
        layers: int,
        cell: CellKind,
        residual: bool = False,
        embedding_dropout: float = 0.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.residual = residual
        library = nn.LSTM if cell == "lstm" else nn.GRU
        self.embedding = embedding
        self.embedding_dropout = nn.Dropout(embedding_dropout)
        self.dropout = nn.Dropout(dropout)
        sizes = [embedding.embedding_dim] + [2 * hidden_size] * (layers - 1)
        self.layers = nn.ModuleList(
            library(size, hidden_size, batch_first=True, bidirectional=True) for size in sizes
        )
        for layer in self.layers:
            initialise_recurrent(layer)  # type: ignore[arg-type]

    def encode(self, source_ids: Tensor, lengths: Tensor) -> Encoded:
        """source_ids [B, S or wider], lengths [B] on the CPU, each at least 1"""
        width = int(lengths.max())
        source_ids = source_ids[:, :width]  # padding beyond the longest changes no bit of anything
        mask = length_mask(lengths.to(source_ids.device), width)
        outputs = self.embedding_dropout(self.embedding(source_ids))  # [B, S, E]
        for layer in self.layers:
            inputs = outputs
            packed = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
            packed, last = layer(packed)
            outputs, _ = pad_packed_sequence(packed, batch_first=True, total_length=width)
            outputs = self.dropout(outputs)
            if self.residual and outputs.shape == inputs.shape:
                outputs = outputs + inputs * mask.unsqueeze(-1)
        hidden = last[0] if isinstance(last, tuple) else last  # [2, B, M/2]
        summary = torch.cat([hidden[0], hidden[1]], dim=-1)  # [B, M]
        return Encoded(outputs, mask, self.dropout(summary))
