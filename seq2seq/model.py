"""The translation model: encoder, decoder and output layer, built from its configuration."""

from typing import TypedDict

import torch
from torch import Tensor, nn

from seq2seq.attention import Attention
from seq2seq.batch import PAD, Batch
from seq2seq.config import ModelConfig
from seq2seq.decoders.bahdanau import BahdanauDecoder
from seq2seq.decoders.contract import Decoder, Memory, Unrolled
from seq2seq.decoders.luong import LuongDecoder
from seq2seq.decoders.plain import PlainDecoder
from seq2seq.encoder import BidirectionalEncoder
from seq2seq.errors import ConfigError
from seq2seq.masks import length_mask
from seq2seq.recurrence import CellKind
from seq2seq.scores import build_score


class ScaledEmbedding(nn.Embedding):
    """Embeddings times the square root of their width (Vaswani et al., 2017, section 3.4).

    One matrix, drawn from N(0, 1/E), is then of the right size for both its uses: entries of about
    1 into a recurrent layer, rows of about unit length in the softmax.
    """

    def forward(self, ids: Tensor) -> Tensor:
        """[...] -> [..., E]"""
        return super().forward(ids) * self.embedding_dim**0.5  # type: ignore[no-any-return]


class OutputLayer(nn.Module):
    """Readouts to logits; embeddings tied to it are reached by a linear map where widths differ."""

    def __init__(
        self, *, readout_size: int, vocabulary: int, tied: nn.Embedding | None = None
    ) -> None:
        super().__init__()
        size = readout_size if tied is None else tied.embedding_dim
        self.narrow = nn.Linear(readout_size, size, bias=False) if size != readout_size else None
        self.vocabulary = nn.Linear(size, vocabulary)
        nn.init.xavier_uniform_(self.vocabulary.weight)
        nn.init.zeros_(self.vocabulary.bias)
        if tied is not None:
            self.vocabulary.weight = tied.weight

    def forward(self, readouts: Tensor) -> Tensor:
        """[..., R] -> [..., V]"""
        narrowed = readouts if self.narrow is None else self.narrow(readouts)
        return self.vocabulary(narrowed)  # type: ignore[no-any-return]


class EncoderDecoder(nn.Module):
    """p(target | source) one token at a time (Sutskever et al., 2014; Cho et al., 2014)."""

    def __init__(
        self,
        *,
        encoder: BidirectionalEncoder,
        decoder: Decoder,
        output: OutputLayer,
        attend_end: bool = True,
    ) -> None:
        super().__init__()
        self.attend_end = attend_end
        self.encoder = encoder
        self.decoder: Decoder = decoder
        self.output = output

    def encode(self, source_ids: Tensor, lengths: Tensor) -> Memory:
        """source_ids [B, S], lengths [B] on the CPU"""
        states, mask, summary = self.encoder.encode(source_ids, lengths)
        if not self.attend_end:
            mask = length_mask(lengths.to(mask.device) - 1, mask.shape[1])
        return Memory(states, self.decoder.keys(states), mask, summary)

    def unroll(self, batch: Batch) -> Unrolled:
        """Readouts and attention for targets that are known."""
        memory = self.encode(batch.source_ids, batch.source_lengths)
        return self.decoder.unroll(batch.decoder_input, memory)

    def logits(self, readouts: Tensor) -> Tensor:
        """[..., R] -> [..., V]"""
        return self.output(readouts)  # type: ignore[no-any-return]


def build_model(
    config: ModelConfig, *, source_vocabulary: int, target_vocabulary: int, joint: bool
) -> EncoderDecoder:
    """Lay out the model that the configuration describes, with fresh weights.

    Raises ConfigError when all embeddings are to be tied but the vocabularies are separate.
    """
    if config.tie_embeddings == "all" and not joint:
        raise ConfigError(
            "model.tie_embeddings is all, but source and target have separate vocabularies",
            hint="use --set model.tie_embeddings=decoder, or preprocess without --separate",
        )
    target_embedding = _embedding(target_vocabulary, config.embedding_size)
    source_embedding = (
        target_embedding
        if config.tie_embeddings == "all"
        else _embedding(source_vocabulary, config.embedding_size)
    )
    encoder = BidirectionalEncoder(
        embedding=source_embedding,
        hidden_size=config.encoder_size,
        layers=config.encoder_layers,
        cell=config.cell,
        residual=config.encoder_residual,
        embedding_dropout=config.embedding_dropout,
        dropout=config.dropout,
    )
    output = OutputLayer(
        readout_size=config.readout_width,
        vocabulary=target_vocabulary,
        tied=None if config.tie_embeddings == "none" else target_embedding,
    )
    return EncoderDecoder(
        encoder=encoder,
        decoder=_build_decoder(config, target_embedding),
        output=output,
        attend_end=config.attend_end,
    )


def _build_decoder(
    config: ModelConfig, embedding: nn.Embedding
) -> PlainDecoder | LuongDecoder | BahdanauDecoder:
    common = _Common(
        embedding=embedding,
        cell=config.cell,
        memory_size=config.memory_size,
        hidden_size=config.decoder_size,
        readout_size=config.readout_width,
        layers=config.decoder_layers,
        embedding_dropout=config.embedding_dropout,
        dropout=config.dropout,
    )
    if config.attention == "none":
        return PlainDecoder(context=config.context, **common)
    attention = Attention(
        build_score(
            config.score,
            query_size=config.decoder_size,
            key_size=config.memory_size,
            size=config.attention_size,
        )
    )
    if config.attention == "luong":
        return LuongDecoder(attention=attention, input_feeding=config.input_feeding, **common)
    return BahdanauDecoder(attention=attention, **common)


class _Common(TypedDict):
    """What every decoder is built from."""

    embedding: nn.Embedding
    cell: CellKind
    memory_size: int
    hidden_size: int
    readout_size: int
    layers: int
    embedding_dropout: float
    dropout: float


def _embedding(vocabulary: int, size: int) -> ScaledEmbedding:
    embedding = ScaledEmbedding(vocabulary, size, padding_idx=PAD)
    nn.init.normal_(embedding.weight, std=size**-0.5)
    with torch.no_grad():
        embedding.weight[PAD].zero_()
    return embedding


def count_parameters(model: nn.Module) -> int:
    """Trainable numbers, shared ones counted once."""
    return sum(parameter.numel() for parameter in model.parameters())
