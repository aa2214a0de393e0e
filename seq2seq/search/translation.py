"""From source ids to hypotheses: searching for the best, or scoring a given target."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from seq2seq.batch import BOS, EOS, PAD, UNK
from seq2seq.config import SearchConfig
from seq2seq.search.beam import beam_search
from seq2seq.search.constraints import (
    Constraint,
    ForcedPrefix,
    ForcedText,
    MaximumLength,
    MinimumLength,
    NoRepeatedNgram,
)
from seq2seq.search.greedy import greedy_search
from seq2seq.search.hypothesis import Hypothesis, StateT
from seq2seq.search.inference import Inference
from seq2seq.search.required import Phrase, RequiredPhrases
from seq2seq.search.sampling import sample, uniform_numbers
from seq2seq.search.threads import in_threads

_EXTRA_LENGTH = 20  # ids that a translation may have beyond search.max_length_factor
_FEWEST = 8  # sources for each thread; fewer are searched together, by all threads of torch
_FORBIDDEN = (PAD, UNK, BOS)


@dataclass(frozen=True, kw_only=True)
class TextRules:
    """Rules that translations must follow as text."""

    spellings: Sequence[bytes]  # of each id of the vocabulary, in UTF-8; b"" where it is no text
    words: tuple[Constraint, ...] = ()  # on their words
    prefixes: Sequence[ForcedText | None] = ()  # how each translation begins; (): none is given
    required: tuple[Phrase, ...] = ()  # ids that each translation contains
    any_piece: bool = False  # whether they may need any piece, likely or not


def translate_ids(
    inference: Inference[StateT],
    sources: Sequence[Sequence[int]],
    config: SearchConfig,
    *,
    n_best: int = 1,
    rules: TextRules | None = None,
    threads: int = 1,
) -> list[list[Hypothesis]]:
    """The n best hypotheses of each source, best first; sources are ids without EOS, none empty.

    Where the settings ask for samples these are n samples of each source, in the order in which
    they were drawn. Sources of similar length are searched together, and returned in the order
    given. The columns of a hypothesis's weights are the source's pieces, without tags, and its EOS.

    threads: how many batches are searched at once on a CPU, each with one thread of torch
    """
    by_length = sorted(range(len(sources)), key=lambda i: len(sources[i]))
    words = () if rules is None else rules.words
    size = config.batch_sentences
    if config.sample or n_best > config.beam:
        size = max(1, size * config.beam // n_best)  # about as many rows as a beam has
    if words or len(sources) < _FEWEST * threads:  # masks of words are shared by all batches
        threads = 1
    if threads > 1:
        size = min(size, math.ceil(len(sources) / (2 * threads)))  # so that all end at about once

    def search(chosen: list[int]) -> list[list[Hypothesis]]:
        batch = [sources[i] for i in chosen]
        with torch.inference_mode():
            return _translate_batch(inference, batch, chosen, config, n_best, rules, words)

    batches = list(_batches(sources, by_length, size=size, tokens=config.batch_tokens))
    found: list[list[Hypothesis]] = [[] for _ in sources]
    for chosen, hypotheses in zip(batches, in_threads(search, batches, threads), strict=True):
        for i, best in zip(chosen, hypotheses, strict=True):
            found[i] = best
    return found


def _translate_batch(
    inference: Inference[StateT],
    batch: list[Sequence[int]],
    numbers: list[int],
    config: SearchConfig,
    n_best: int,
    rules: TextRules | None,
    words: Sequence[Constraint],
) -> list[list[Hypothesis]]:
    """numbers: which sources they are, for the rules"""
    pieces = [len(source) - inference.tags for source in batch]
    max_lengths = _max_lengths(pieces, config)
    constraints = _constraints(pieces, max_lengths, config, words)
    required = None
    if rules is not None and rules.required:
        required = RequiredPhrases(rules.required, max_lengths, rules.spellings, EOS)
        constraints.append(required)
    if rules is not None and rules.prefixes:
        prefixes = [rules.prefixes[i] for i in numbers]
        constraints = [ForcedPrefix(prefixes, rules.spellings, EOS, tuple(constraints))]
    if config.sample:
        hypotheses = _sample(inference, batch, max_lengths, config, n_best, constraints)
    else:
        hypotheses = _search(inference, batch, max_lengths, config, n_best, constraints, required)
    return [
        [_with_spread_weights(each, inference, source) for each in best]
        for source, best in zip(batch, hypotheses, strict=True)
    ]


def _batches(
    sources: Sequence[Sequence[int]], by_length: Sequence[int], *, size: int, tokens: int
) -> Iterator[list[int]]:
    """Up to `size` consecutive indices at a time; fewer where all, padded, have more `tokens`."""
    batch: list[int] = []
    for index in by_length:  # the longest comes last
        if batch and (len(batch) == size or (len(batch) + 1) * len(sources[index]) > tokens):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def force(inference: Inference[StateT], source: Sequence[int], target: Sequence[int]) -> Hypothesis:
    """Forced decoding: the log-probability and weights of a given target.

    source and target are ids without BOS and EOS, those of the target output ids; the hypothesis
    ends in EOS.
    """
    labels = [*target, EOS]
    with torch.inference_mode():
        logits, weights = inference.unroll(source, target)
        total = _of_labels(inference, logits, labels).sum().item()
    forced = Hypothesis(tuple(labels), total, total, None if weights is None else weights.cpu())
    return _with_spread_weights(forced, inference, source)


def forced_log_probabilities(
    inference: Inference[StateT], source: Sequence[int], target: Sequence[int]
) -> list[float]:
    """The log-probabilities of a given target's ids and of EOS; `force` returns their sum."""
    with torch.inference_mode():
        logits, _ = inference.unroll(source, target)
        return _of_labels(inference, logits, [*target, EOS]).tolist()


def _of_labels(inference: Inference[StateT], logits: Tensor, labels: Sequence[int]) -> Tensor:
    """Log-probabilities of labels. logits [T, V'] -> [T] float64"""
    log_probabilities = logits.log_softmax(-1)  # [T, V']
    return log_probabilities[range(len(labels)), inference.columns[labels]].double()


def _max_lengths(pieces: Sequence[int], config: SearchConfig) -> list[int]:
    """The maximum number of ids of each translation, EOS included.

    pieces: of each source, without tags
    """
    lengths = [
        max(int(config.max_length_factor * count) + _EXTRA_LENGTH, config.min_length + 1)
        for count in pieces
    ]
    if config.max_length is None:
        return lengths
    return [min(length, config.max_length + 1) for length in lengths]


def _constraints(
    pieces: Sequence[int],
    max_lengths: Sequence[int],
    config: SearchConfig,
    words: Sequence[Constraint],
) -> list[Constraint]:
    """The constraints that a batch's translations have by the settings, besides those on words.

    pieces: of each source, without tags
    """
    constraints = list(words)
    if config.min_length or config.min_length_factor:
        shortest = [
            min(max(config.min_length, math.ceil(config.min_length_factor * count)), most - 1)
            for count, most in zip(pieces, max_lengths, strict=True)
        ]
        constraints.append(MinimumLength(shortest, EOS))
    if config.max_length is not None:
        constraints.append(MaximumLength(config.max_length, EOS))
    if config.no_repeat_ngram:
        constraints.append(NoRepeatedNgram(config.no_repeat_ngram))
    return constraints


def _search(
    inference: Inference[StateT],
    sources: list[Sequence[int]],
    max_lengths: Sequence[int],
    config: SearchConfig,
    n_best: int,
    constraints: Sequence[Constraint],
    required: RequiredPhrases | None,
) -> list[list[Hypothesis]]:
    """Search one batch. Weights are still over what the encoder returns."""
    state = inference.start(sources)
    if config.beam == 1 and n_best == 1 and not config.coverage_penalty and required is None:
        best = greedy_search(
            inference.step,
            state,
            rows=len(sources),
            bos=BOS,
            eos=EOS,
            max_lengths=max_lengths,
            length_penalty=config.length_penalty,
            length_normalization=config.length_normalization,
            forbidden=_FORBIDDEN,
            constraints=constraints,
            device=inference.device,
        )
        return [[hypothesis] for hypothesis in best]
    groups = config.diverse_groups
    beam = math.ceil(max(config.beam, n_best) / groups) * groups
    return beam_search(
        inference.step,
        state,
        rows=len(sources),
        bos=BOS,
        eos=EOS,
        beam=beam,
        max_lengths=max_lengths,
        n_best=n_best,
        length_penalty=config.length_penalty,
        length_normalization=config.length_normalization,
        coverage_weight=config.coverage_penalty,
        positions=inference.positions(state) if config.coverage_penalty else None,
        groups=groups,
        diversity=config.diversity,
        forbidden=_FORBIDDEN,
        constraints=constraints,
        required=required,
        stop_after=config.stop_after and max(config.stop_after, min(n_best, beam // groups)),
        device=inference.device,
    )


def _sample(
    inference: Inference[StateT],
    sources: list[Sequence[int]],
    max_lengths: Sequence[int],
    config: SearchConfig,
    samples: int,
    constraints: Sequence[Constraint],
) -> list[list[Hypothesis]]:
    """Samples of one batch. Weights are still over what the encoder returns."""
    longest = max(max_lengths)
    numbers = [
        uniform_numbers(config.seed, ids, samples=samples, length=longest) for ids in sources
    ]
    repeated = torch.arange(len(sources)).repeat_interleave(samples)
    rows = repeated.to(inference.device)
    found = sample(
        inference.step,
        inference.start(sources).select(rows, rows),
        uniforms=torch.cat(numbers),
        bos=BOS,
        eos=EOS,
        max_lengths=[length for length in max_lengths for _ in range(samples)],
        temperature=config.temperature,
        top_k=config.top_k,
        top_p=config.top_p,
        length_penalty=config.length_penalty,
        length_normalization=config.length_normalization,
        forbidden=_FORBIDDEN,
        constraints=constraints,
        sentences=repeated,
        device=inference.device,
    )
    return [found[begin : begin + samples] for begin in range(0, len(found), samples)]


def _with_spread_weights(
    hypothesis: Hypothesis, inference: Inference[StateT], source: Sequence[int]
) -> Hypothesis:
    if hypothesis.weights is None:
        return hypothesis
    return replace(hypothesis, weights=inference.spread_weights(hypothesis.weights, source))
