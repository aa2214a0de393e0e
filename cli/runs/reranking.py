"""Another order of the candidates of a line than that of the search."""

import math
from collections.abc import Sequence

from cli.runs.directory import RunDirectory
from seq2seq.config import SearchConfig
from seq2seq.errors import ConfigError


def by_utility(
    texts: Sequence[str],
    log_probabilities: Sequence[float],
    search: SearchConfig,
    *,
    target_language: str | None,
) -> list[tuple[int, float]]:
    """The candidates with the highest expected utility first: index and utility, 0 to 100.

    Samples count equally, those of a beam by their probability. Equal texts are one candidate, and
    of equal utilities the earlier one comes first.
    """
    from seq2seq.evaluation.bayes_risk import expected_utilities

    likeliest = max(log_probabilities)
    weights = [1.0 if search.sample else math.exp(each - likeliest) for each in log_probabilities]
    utilities = expected_utilities(
        texts, weights, utility=search.utility, target_language=target_language
    )
    first: dict[str, int] = {}
    for index, text in enumerate(texts):
        first.setdefault(text, index)
    ranked = sorted(first.values(), key=lambda index: -utilities[index])
    return [(index, utilities[index]) for index in ranked]


def require_reverse(run: RunDirectory, reverse: RunDirectory) -> None:
    """Raises ConfigError where a run is known not to translate in the other direction."""
    source, target = run.languages
    if None not in (source, target, *reverse.languages) and reverse.languages != (target, source):
        raise ConfigError(
            f"{reverse.path} translates {'-'.join(map(str, reverse.languages))}, "
            f"not {target}-{source}",
            hint="candidates are rescored by a run that translates in the other direction",
        )
