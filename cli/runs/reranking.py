"""Reranks the candidates of a line: by expected utility, or by a model of the other direction."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from cli.runs.directory import RunDirectory
from cli.runs.translation import Candidate, PairScore
from data.corpus import SentencePair
from seq2seq.config import SearchConfig
from seq2seq.errors import ConfigError
from seq2seq.evaluation.rescoring import Features


class PairScorer(Protocol):
    """A model that gives probabilities to translations."""

    def score_pairs(self, pairs: Sequence[SentencePair]) -> list[PairScore]: ...


def by_utility(
    candidates: Sequence[Candidate], search: SearchConfig, *, target_language: str | None
) -> tuple[Candidate, ...]:
    """The candidates with the highest expected utility first, which is their score then, 0 to 100.

    Samples count equally, those of a beam by their probability. Equal texts are one candidate, and
    of equal utilities the earlier one comes first.
    """
    from seq2seq.evaluation.bayes_risk import expected_utilities

    likeliest = max(each.log_probability for each in candidates)
    weights = [
        1.0 if search.sample else math.exp(each.log_probability - likeliest) for each in candidates
    ]
    texts = [each.text for each in candidates]
    utilities = expected_utilities(
        texts, weights, utility=search.utility, target_language=target_language
    )
    first: dict[str, int] = {}
    for index, text in enumerate(texts):
        first.setdefault(text, index)
    ranked = sorted(first.values(), key=lambda index: -utilities[index])
    return tuple(replace(candidates[index], score=utilities[index]) for index in ranked)


def by_reverse_model(
    sources: Sequence[str],
    candidates: Sequence[Sequence[Candidate]],
    reverse: PairScorer,
    search: SearchConfig,
) -> list[tuple[Candidate, ...]]:
    """The candidates y of each source x, ranked with log P(x|y); a blank one is there if all are.

    reverse: a model of the other direction
    """
    pairs = [
        SentencePair(each.text, source)
        for source, own in zip(sources, candidates, strict=True)
        for each in own
    ]
    scores = iter(reverse.score_pairs(pairs))
    found = []
    for own in candidates:
        rescored = [
            _rescored(each, score.log_probability, search)
            for each, score in [(each, next(scores)) for each in own]
            if score.log_probabilities
        ]
        found.append(tuple(sorted(rescored, key=lambda each: -each.score)) or tuple(own))
    return found


def features_of(candidates: Sequence[Candidate]) -> list[Features]:
    """Features of rescored candidates, in the order of the search's own scores; of a blank line
    those of an empty translation."""
    ranked = sorted(candidates, key=lambda each: -(each.search_score or 0.0))
    return [_features(each, each.reverse_log_probability or 0.0) for each in ranked] or [
        Features("", 0.0, 0.0, 0)
    ]


def _rescored(candidate: Candidate, reverse: float, search: SearchConfig) -> Candidate:
    score = _features(candidate, reverse).score(search.reverse_weight, search.length_reward)
    return replace(
        candidate, score=score, search_score=candidate.score, reverse_log_probability=reverse
    )


def _features(candidate: Candidate, reverse: float) -> Features:
    return Features(candidate.text, candidate.log_probability, reverse, len(candidate.pieces))


def require_reverse(run: RunDirectory, reverse: RunDirectory) -> None:
    """Raises ConfigError where a run is known not to translate in the other direction."""
    source, target = run.languages
    if None not in (source, target, *reverse.languages) and reverse.languages != (target, source):
        raise ConfigError(
            f"{reverse.path} translates {'-'.join(map(str, reverse.languages))}, "
            f"not {target}-{source}",
            hint="candidates are rescored by a run that translates in the other direction",
        )
