"""From source ids to hypotheses: searching for the best, or scoring a given target."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from seq2seq.batch import BOS, EOS, PAD, UNK
from seq2seq.config import SearchConfig
from seq2seq.search.beam import beam_search
from seq2seq.search.greedy import greedy_search
from seq2seq.search.hypothesis import Hypothesis, StateT
from seq2seq.search.inference import Inference

_EXTRA_LENGTH = 20  # ids that a translation may have beyond search.max_length_factor
_FORBIDDEN = (PAD, UNK, BOS)


def translate_ids(
    inference: Inference[StateT],
    sources: Sequence[Sequence[int]],
    config: SearchConfig,
    *,
    n_best: int = 1,
) -> list[list[Hypothesis]]:
    """The n best hypotheses of each source, best first; sources are ids without EOS, none empty.

    Sources of similar length are searched together, and returned in the order given. The columns
    of a hypothesis's weights are the source's pieces, without tags, and its EOS.
    """
    found: list[list[Hypothesis]] = [[] for _ in sources]
    by_length = sorted(range(len(sources)), key=lambda i: len(sources[i]))
    with torch.inference_mode():
        for begin in range(0, len(by_length), config.batch_sentences):
            chosen = by_length[begin : begin + config.batch_sentences]
            hypotheses = _search(inference, [sources[i] for i in chosen], config, n_best)
            for i, best in zip(chosen, hypotheses, strict=True):
                found[i] = [_with_spread_weights(each, inference, sources[i]) for each in best]
    return found


def force(inference: Inference[StateT], source: Sequence[int], target: Sequence[int]) -> Hypothesis:
    """Forced decoding: the log-probability and weights of a given target.

    source and target are ids without BOS and EOS, those of the target output ids; the hypothesis
    ends in EOS.
    """
    labels = [*target, EOS]
    with torch.inference_mode():
        logits, weights = inference.unroll(source, target)
        log_probabilities = logits.log_softmax(-1)  # [T, V']
        chosen = log_probabilities[range(len(labels)), inference.columns[labels]]
    total = chosen.double().sum().item()
    forced = Hypothesis(tuple(labels), total, total, None if weights is None else weights.cpu())
    return _with_spread_weights(forced, inference, source)


def _search(
    inference: Inference[StateT],
    sources: list[Sequence[int]],
    config: SearchConfig,
    n_best: int,
) -> list[list[Hypothesis]]:
    """Search one batch. Weights are still over what the encoder returns."""
    state = inference.start(sources)
    max_lengths = [int(config.max_length_factor * len(ids)) + _EXTRA_LENGTH for ids in sources]
    if config.beam == 1 and n_best == 1:
        best = greedy_search(
            inference.step,
            state,
            rows=len(sources),
            bos=BOS,
            eos=EOS,
            max_lengths=max_lengths,
            length_penalty=config.length_penalty,
            forbidden=_FORBIDDEN,
            device=inference.device,
        )
        return [[hypothesis] for hypothesis in best]
    return beam_search(
        inference.step,
        state,
        rows=len(sources),
        bos=BOS,
        eos=EOS,
        beam=max(config.beam, n_best),
        max_lengths=max_lengths,
        n_best=n_best,
        length_penalty=config.length_penalty,
        forbidden=_FORBIDDEN,
        device=inference.device,
    )


def _with_spread_weights(
    hypothesis: Hypothesis, inference: Inference[StateT], source: Sequence[int]
) -> Hypothesis:
    if hypothesis.weights is None:
        return hypothesis
    return replace(hypothesis, weights=inference.spread_weights(hypothesis.weights, source))
