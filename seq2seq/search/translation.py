"""Search bound to the model: ids in, hypotheses out, in the order they came."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from seq2seq.batch import BOS, EOS, PAD, UNK, pad_sources
from seq2seq.config import SearchConfig
from seq2seq.decoders.contract import DecoderState, Memory
from seq2seq.model import EncoderDecoder
from seq2seq.search.beam import beam_search
from seq2seq.search.greedy import greedy_search
from seq2seq.search.hypothesis import Hypothesis, SearchStep

_SPARE = 20  # pieces that a translation may have beyond its share of the source's
_FORBIDDEN = (PAD, UNK, BOS)


@dataclass(frozen=True, slots=True)
class ModelState:
    """What a hypothesis carries: the decoder's state and the source it looks at."""

    decoder: DecoderState
    memory: Memory

    def select(self, rows: Tensor) -> "ModelState":
        return ModelState(self.decoder.select(rows), self.memory.select(rows))


def translate_ids(
    model: EncoderDecoder,
    sources: Sequence[Sequence[int]],
    config: SearchConfig,
    *,
    n_best: int = 1,
    head: int | None = None,
    device: str = "cpu",
) -> list[list[Hypothesis]]:
    """The n best hypotheses of each source, best first; sources are ids without EOS, none empty.

    Sentences of like length are searched together and put back in order. Attention rows end with
    the source's EOS; they are the mean of all heads, or one `head` (from 0) alone.
    """
    model.eval()
    found: list[list[Hypothesis]] = [[] for _ in sources]
    by_length = sorted(range(len(sources)), key=lambda i: len(sources[i]))
    with torch.inference_mode():
        for begin in range(0, len(by_length), config.batch_sentences):
            chosen = by_length[begin : begin + config.batch_sentences]
            batch = [sources[i] for i in chosen]
            for i, hypotheses in zip(
                chosen, _search(model, batch, config, n_best, head, device), strict=True
            ):
                found[i] = [
                    _expand_to_source(each, model, len(sources[i]) + 1) for each in hypotheses
                ]
    return found


def force(
    model: EncoderDecoder,
    source: Sequence[int],
    target: Sequence[int],
    *,
    head: int | None = None,
    device: str = "cpu",
) -> Hypothesis:
    """Read a given target instead of searching: its probability and where it looks.

    source and target are ids without BOS and EOS; the hypothesis ends in EOS. `head` as in
    `translate_ids`.
    """
    model.eval()
    labels = [*target, EOS]
    with torch.inference_mode():
        memory = _encode(model, [source], device)
        decoder_input = torch.tensor([[BOS, *target]], device=device)
        readouts, weights = model.decoder.unroll(decoder_input, memory)
        log_probabilities = model.logits(readouts)[0].log_softmax(-1)  # [T, V]
        chosen = log_probabilities[range(len(labels)), labels]
    total = chosen.double().sum().item()
    seen = None if weights is None else _view(weights, head)[0].cpu()  # [T, S']
    return _expand_to_source(Hypothesis(tuple(labels), total, total, seen), model, len(source) + 1)


def _search(
    model: EncoderDecoder,
    sources: list[Sequence[int]],
    config: SearchConfig,
    n_best: int,
    head: int | None,
    device: str,
) -> list[list[Hypothesis]]:
    memory = _encode(model, sources, device)
    state = ModelState(model.decoder.start(memory), memory)

    def step(previous_ids: Tensor, state: ModelState) -> SearchStep[ModelState]:
        readout, weights, decoder = model.decoder.step(previous_ids, state.decoder, state.memory)
        seen = None if weights is None else _view(weights, head)  # [R, S']
        return SearchStep(model.logits(readout), seen, replace(state, decoder=decoder))

    max_lengths = [int(config.max_length_factor * len(ids)) + _SPARE for ids in sources]
    if config.beam == 1 and n_best == 1:
        best = greedy_search(
            step,
            state,
            rows=len(sources),
            bos=BOS,
            eos=EOS,
            max_lengths=max_lengths,
            length_penalty=config.length_penalty,
            forbidden=_FORBIDDEN,
            device=device,
        )
        return [[hypothesis] for hypothesis in best]
    return beam_search(
        step,
        state,
        rows=len(sources),
        bos=BOS,
        eos=EOS,
        beam=max(config.beam, n_best),
        max_lengths=max_lengths,
        n_best=n_best,
        length_penalty=config.length_penalty,
        forbidden=_FORBIDDEN,
        device=device,
    )


def _encode(model: EncoderDecoder, sources: Sequence[Sequence[int]], device: str) -> Memory:
    return model.encode(pad_sources(sources).to(device))


def _view(weights: Tensor, head: int | None) -> Tensor:
    """The mean of all heads, or one of them. [R, N, ..., S'] -> [R, ..., S']"""
    return weights.mean(1) if head is None else weights[:, head]


def _expand_to_source(hypothesis: Hypothesis, model: EncoderDecoder, length: int) -> Hypothesis:
    """Weights over what memory holds become weights over the source's `length` pieces.

    What a pyramid's state was given is shared out evenly among the pieces that it was made of.
    """
    if hypothesis.weights is None:
        return hypothesis
    stride = model.encoder.stride
    if stride == 1:
        return replace(hypothesis, weights=hypothesis.weights[:, :length])
    read = length if model.encoder.encode_eos else length - 1
    states = torch.arange(read) // stride  # the state that a piece went into
    shares = states.bincount()[states]  # how many pieces went into it
    weights = hypothesis.weights[:, states] / shares
    return replace(hypothesis, weights=F.pad(weights, (0, length - read)))  # [T, S]
