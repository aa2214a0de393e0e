"""A model as its configuration describes it, with fresh weights."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from seq2seq.attention.attention import Attention, MemoryAttention, MultiHeadAttention
from seq2seq.attention.coverage import Coverage, GRUCoverage, LinearCoverage
from seq2seq.attention.scopes import LocalMonotonic, LocalPredictive, Scope
from seq2seq.attention.scores import ScoreSizes, build_score
from seq2seq.attention.self_attention import SelfAttention
from seq2seq.batch import PAD
from seq2seq.config import ModelConfig
from seq2seq.decoders.attentive import AttentionParts
from seq2seq.decoders.bahdanau import BahdanauDecoder
from seq2seq.decoders.conditional import ConditionalDecoder
from seq2seq.decoders.contract import Decoder, DecoderParts
from seq2seq.decoders.lexical import LexicalModel
from seq2seq.decoders.lexicon import Entries, Lexicon
from seq2seq.decoders.luong import LuongDecoder
from seq2seq.decoders.plain import PlainDecoder
from seq2seq.decoders.readout import Readout
from seq2seq.encoder import Encoder
from seq2seq.errors import ConfigError
from seq2seq.kernels.dropout import DropoutRates
from seq2seq.model import EncoderDecoder, OutputLayer, ScaledEmbedding
from seq2seq.recurrent.cells import CellNoise
from seq2seq.recurrent.layers import LayerSpec
from seq2seq.recurrent.stack import Bridge, RecurrentStack


class WeightsNotDrawn(TorchFunctionMode):
    """Models built within it have arbitrary weights, which must all be loaded at once.

    Drawing them takes as long as translating a few sentences.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        named = kwargs or {}
        if (
            func in (Tensor.uniform_, Tensor.normal_)
            or getattr(func, "__module__", None) == "torch.nn.init"
        ):
            return args[0] if args else named["tensor"]
        if func is torch.linalg.qr:  # of orthogonal weights
            return args[0], args[0]
        return func(*args, **named)


def build_model(
    config: ModelConfig,
    *,
    source_vocabulary: int,
    target_vocabulary: int,
    joint: bool,
    tags: int = 0,
    output_ids: Sequence[int] | None = None,
    entries: Entries | None = None,
) -> EncoderDecoder:
    """A model with weights drawn from torch's global generator.

    The `tags` ids behind EOS are tags in front of a source, which word dropout never drops. Only
    `output_ids`, ascending, have logits; None: all of the target vocabulary. The lexicon, if there
    is one, has `model.lexicon` of the `entries`. Raises ConfigError when all embeddings are to be
    tied but the vocabularies are separate.
    """
    if config.tie_embeddings == "all" and not joint:
        raise ConfigError(
            "model.tie_embeddings is all, but source and target have separate vocabularies",
            hint="use --set model.tie_embeddings=decoder, or preprocess without --separate",
        )
    target_embedding = _embedding(config, target_vocabulary)
    source_embedding = (
        target_embedding
        if config.tie_embeddings == "all"
        else _embedding(config, source_vocabulary)
    )
    encoder = _build_encoder(config, source_embedding, tags=tags)
    readout = _build_readout(config, encoder)
    output = OutputLayer(
        readout_size=readout.size,
        vocabulary=target_vocabulary,
        tied=None if config.tie_embeddings == "none" else target_embedding,
        bias=config.output_bias,
        output_ids=output_ids,
        lexical_size=config.embedding_size if config.lexical_model else 0,
    )
    return EncoderDecoder(
        encoder=encoder,
        decoder=_build_decoder(config, encoder, target_embedding, readout),
        output=output,
        attend_eos=config.attend_eos,
        lexicon=_build_lexicon(config, output, entries),
    )


def _build_encoder(config: ModelConfig, embedding: nn.Embedding, *, tags: int) -> Encoder:
    spec = LayerSpec(
        cell=config.cell,
        hidden_size=config.encoder_size,
        biases=config.recurrent_biases,
        noise=_noise(config),
    )
    return Encoder(
        spec,
        embedding=embedding,
        layers=config.encoder_layers,
        kind=config.encoder,
        reverse_source=config.source_order == "reversed",
        encode_eos=config.encode_eos,
        residual_from=config.residual_from,
        projection=config.encoder_projection,
        self_attention=nn.ModuleList(
            SelfAttention(
                size=config.states_size,
                heads=config.self_attention_heads,
                dropout=config.dropout,
            )
            for _ in range(config.encoder_self_attention)
        ),
        append_embeddings=config.memory_embeddings,
        keep_embeddings=config.lexical_model,
        summary=config.summary,
        tags=tags,
        dropout=DropoutRates(
            embedding=config.embedding_dropout,
            word=config.word_dropout,
            output=config.dropout,
            variational=config.variational_dropout,
        ),
    )


def _build_decoder(
    config: ModelConfig, encoder: Encoder, embedding: nn.Embedding, readout: Readout
) -> Decoder:
    parts = _build_parts(config, encoder, embedding, readout)
    if config.attention == "none":
        summary_size = encoder.summary_size if config.context == "input" else 0
        stack = _build_stack(config, input_size=config.embedding_size, extra_size=summary_size)
        return PlainDecoder(parts, stack, context=config.context)
    attention = _build_attention(config)
    context_size = _context_size(config)
    attending = AttentionParts(
        attention=attention,
        context_size=context_size,
        coverage=_build_coverage(config, attention),
        feedback=config.feedback if config.uses_input_feeding else None,
        query_layer=config.query_layer,
        context_to_upper=config.context_to_upper,
        readout_state=config.readout_state,
        context_dropout=config.context_dropout,
        lexical=LexicalModel(config.embedding_size) if config.lexical_model else None,
    )
    feedback_size = {"readout": readout.size, "context": context_size, None: 0}[attending.feedback]
    if config.attention == "luong":
        stack = _build_stack(config, input_size=config.embedding_size, extra_size=feedback_size)
        return LuongDecoder(parts, attending, stack)
    if config.attention == "bahdanau":
        extra_size = context_size + feedback_size
        stack = _build_stack(config, input_size=config.embedding_size, extra_size=extra_size)
        return BahdanauDecoder(parts, attending, stack)
    first = _decoder_spec(config).build(input_size=config.embedding_size, extra_size=feedback_size)
    stack = _build_stack(config, input_size=context_size, extra_size=0)
    return ConditionalDecoder(parts, attending, stack, first=first)


def _build_lexicon(
    config: ModelConfig, output: OutputLayer, entries: Entries | None
) -> Lexicon | None:
    if not config.lexicon:
        return None
    if entries is None:
        raise ValueError("a lexicon has entries")
    columns, logits = output.columns.clone(), len(output.ids)
    columns[PAD] = logits
    kept = Entries(*(each[:, : config.lexicon] for each in entries))
    return Lexicon(kept, columns, logits=logits)


def _build_parts(
    config: ModelConfig, encoder: Encoder, embedding: nn.Embedding, readout: Readout
) -> DecoderParts:
    bridge = Bridge(
        _decoder_spec(config),
        kind=config.bridge,
        summary_size=encoder.summary_size,
        layers=config.decoder_layers,
    )
    self_attention = None
    if config.decoder_self_attention:
        self_attention = SelfAttention(
            size=config.decoder_size, heads=config.self_attention_heads, dropout=config.dropout
        )
    word_dropout, output_dropout = config.target_word_dropout, config.readout_dropout
    dropout = DropoutRates(
        embedding=config.embedding_dropout,
        word=config.word_dropout if word_dropout is None else word_dropout,
        output=config.dropout if output_dropout is None else output_dropout,
        variational=config.variational_dropout,
    )
    return DecoderParts(
        embedding=embedding,
        bridge=bridge,
        readout=readout,
        self_attention=self_attention,
        dropout=dropout,
    )


def _build_stack(config: ModelConfig, *, input_size: int, extra_size: int) -> RecurrentStack:
    return RecurrentStack(
        _decoder_spec(config),
        input_size=input_size,
        layers=config.decoder_layers,
        extra_size=extra_size,
        upper_extra_size=_context_size(config) if config.context_to_upper else 0,
        residual_from=config.residual_from,
        dropout=config.dropout,
        variational=config.variational_dropout,
    )


def _decoder_spec(config: ModelConfig) -> LayerSpec:
    return LayerSpec(
        cell=config.decoder_cell or config.cell,
        hidden_size=config.decoder_size,
        biases=config.recurrent_biases,
        noise=_noise(config),
    )


def _noise(config: ModelConfig) -> CellNoise:
    return CellNoise(recurrent_dropout=config.recurrent_dropout, zoneout=config.zoneout)


def _build_attention(config: ModelConfig) -> MemoryAttention:
    if config.heads == 1 and not config.uses_projections:
        sizes = ScoreSizes(
            query=config.decoder_size,
            key=config.memory_size,
            inner=config.attention_size,
            positions=config.location_positions,
        )
        return Attention(
            build_score(config.score, sizes),
            scope=_build_scope(config, query_size=config.decoder_size, heads=None),
            normalizer=config.normalizer,
            dropout=config.attention_dropout,
        )
    width = config.attention_size if config.uses_projections else config.decoder_size
    return MultiHeadAttention(
        query_size=config.decoder_size,
        key_size=config.memory_size,
        value_size=config.memory_size,
        size=config.attention_size,
        heads=config.heads,
        score=config.score,
        projections=config.uses_projections,
        project_values=config.project_values,
        inner_size=config.attention_size,
        positions=config.location_positions,
        scope=_build_scope(config, query_size=width // config.heads, heads=config.heads),
        normalizer=config.normalizer,
        dropout=config.attention_dropout,
    )


def _build_scope(config: ModelConfig, *, query_size: int, heads: int | None) -> Scope | None:
    if config.scope == "global":
        return None
    if config.scope == "local_m":
        return LocalMonotonic(window=config.window)
    return LocalPredictive(
        query_size=query_size,
        size=max(1, config.attention_size // (heads or 1)),
        window=config.window,
        heads=heads,
    )


def _build_coverage(config: ModelConfig, attention: MemoryAttention) -> Coverage | None:
    if config.coverage == "none":
        return None
    memory_size, heads = config.memory_size, attention.heads
    projected_size = attention.projected_size(memory_size)
    if config.coverage == "linear":
        return LinearCoverage(memory_size=memory_size, projected_size=projected_size, heads=heads)
    return GRUCoverage(
        memory_size=memory_size,
        query_size=config.decoder_size,
        projected_size=projected_size,
        size=config.coverage_size,
        heads=heads,
    )


def _build_readout(config: ModelConfig, encoder: Encoder) -> Readout:
    summary = encoder.summary_size if config.context == "input" else 0
    context_size = summary if config.attention == "none" else _context_size(config)
    return Readout(
        state_size=config.decoder_size,
        context_size=context_size if config.readout_has_context else 0,
        embedding_size=config.embedding_size if config.readout_has_embedding else 0,
        size=config.readout_width,
        kind=config.readout,
        bias=config.attention != "luong",  # equation 5 of Luong et al. (2015) has none
    )


def _context_size(config: ModelConfig) -> int:
    """The width of contexts: one head's projected values are attention_size wide, several heads are
    mapped back to the width of memory by W_O."""
    projected = config.uses_projections and config.project_values
    return config.attention_size if projected and config.heads == 1 else config.memory_size


def _embedding(config: ModelConfig, vocabulary: int) -> nn.Embedding:
    size = config.embedding_size
    embedding_class = ScaledEmbedding if config.scale_embeddings else nn.Embedding
    embedding = embedding_class(vocabulary, size, padding_idx=PAD)
    nn.init.normal_(embedding.weight, std=size**-0.5 if config.scale_embeddings else 0.1)
    with torch.no_grad():
        embedding.weight[PAD].zero_()
    return embedding
