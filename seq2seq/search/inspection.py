"""Self-attention of a model for a given pair, and gradient saliency, which a model without
attention has too.

source and target are ids without BOS and EOS, those of the target output ids; the results have a
row or column for EOS.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from seq2seq.attention.self_attention import SelfAttention
from seq2seq.batch import BOS, EOS
from seq2seq.encoder import word_reversal_index
from seq2seq.search.inference import SingleModel


def saliency(single: SingleModel, source: Sequence[int], target: Sequence[int]) -> Tensor:
    """|embedding . gradient| of each source id, for the log-probability of each target id. [T, S]

    psi(s, t) = |x_s . d log p(y_t | y_<t, x) / d x_s|, "input x gradient" (Shrikumar et al., 2017,
    section 2; Ding et al., 2019, for translation). Each row is scaled to a sum of 1; it is 0 where
    the source has no influence. Tags are no words: their share is added to that of EOS.
    """
    model, labels = single.model, [*target, EOS]
    steps = torch.arange(len(labels), device=single.device)
    with torch.enable_grad():
        with _embeddings(model.encoder.embedding) as found:
            memory = single.encode([source] * len(labels))  # a row of its own for each target id
        decoder_input = torch.tensor([[BOS, *target]] * len(labels), device=single.device)
        readouts, _, bias = model.unroll_from(memory, decoder_input)
        own_bias = None if bias is None else bias.at((steps, steps))
        logits = model.logits(readouts[steps, steps], own_bias)  # [T, V']
        log_probabilities = logits.log_softmax(-1)
        chosen = log_probabilities[steps, model.output.columns[labels]]
        (embedded,) = found  # [T, S, E]
        (gradient,) = torch.autograd.grad(chosen.sum(), embedded)
    products = (embedded * gradient).sum(-1).detach().abs().double().cpu()  # [T, S]
    if model.encoder.reverse_source:  # embedded in that order
        lengths = torch.full((len(labels),), products.shape[1])
        products = products.gather(1, word_reversal_index(lengths, products.shape[1]))
    products[:, -1] += products[:, : single.tags].sum(1)
    products = products[:, single.tags :]
    return products / products.sum(1, keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)


def encoder_self_attention(single: SingleModel, source: Sequence[int], layer: int) -> Tensor:
    """Weights of a layer of the encoder, from 0: source position to source position. [N, R, S]

    R is S, or S - 1 where EOS is not encoded. A pyramid's state has the rows of all its pieces, and
    its weight is divided among them; the weight of tags is added to that of EOS.
    """
    encoder = single.model.encoder
    with _scores(encoder.self_attention[layer]) as found, torch.inference_mode():
        single.encode([source])
    (scores,) = found  # [1, N, S', S']
    states = torch.arange(len(source) + encoder.encode_eos) // encoder.stride  # of each piece
    # states behind those of the pieces are padding: an EOS that is not encoded
    allowed = torch.arange(scores.shape[-1], device=scores.device) <= states[-1]
    weights = _normalized(encoder.self_attention[layer], scores[0], allowed)
    spread = [single.spread_weights(head, source) for head in weights[:, states].cpu()]
    return torch.stack(spread)[:, single.tags :]


def decoder_self_attention(
    single: SingleModel, source: Sequence[int], target: Sequence[int]
) -> Tensor:
    """Weights of the decoder's states: each attends to itself and to those before it. [N, T, T]"""
    decoder: Any = single.model.decoder
    with _scores(decoder.self_attention) as found, torch.inference_mode():
        memory = single.encode([source])
        decoder.unroll(torch.tensor([[BOS, *target]], device=single.device), memory)
    length = len(target) + 1
    rows = [  # of one call for all steps, or of one call a step
        torch.nn.functional.pad(row, (0, length - row.shape[-1]))
        for scores in found
        for row in _normalized(decoder.self_attention, scores[0], _causal(scores)).unbind(1)
    ]
    return torch.stack(rows, dim=1).cpu()


def _normalized(layer: nn.Module, scores: Tensor, allowed: Tensor) -> Tensor:
    """Scores [N, L, S] and where a query may attend, [S] or [L, S] bool -> weights [N, L, S]."""
    assert isinstance(layer, SelfAttention)
    return layer.attention.attention.normalize(scores, allowed.expand(scores.shape[-2:]))


def _causal(scores: Tensor) -> Tensor:
    """Where the last L of S states may attend: to themselves and those before them. [L, S] bool"""
    queries, keys = scores.shape[-2:]
    allowed = torch.ones(queries, keys, dtype=torch.bool, device=scores.device)
    return allowed.tril(keys - queries)


@contextmanager
def _embeddings(embedding: nn.Embedding) -> Iterator[list[Tensor]]:
    """The embeddings that are computed inside the `with` block, each made a leaf of the graph."""
    found: list[Tensor] = []

    def keep(_module: nn.Module, _arguments: object, output: Tensor) -> Tensor:
        found.append(output.detach().requires_grad_())
        return found[-1]

    handle = embedding.register_forward_hook(keep)
    try:
        yield found
    finally:
        handle.remove()


@contextmanager
def _scores(layer: nn.Module) -> Iterator[list[Tensor]]:
    """The scores [B, N, L, S] that a self-attention computes inside the `with` block."""
    assert isinstance(layer, SelfAttention)
    found: list[Tensor] = []
    score = layer.attention.attention.score
    handle = score.register_forward_hook(lambda _module, _arguments, output: found.append(output))
    try:
        yield found
    finally:
        handle.remove()
