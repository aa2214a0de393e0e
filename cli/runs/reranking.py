"""Another order of the candidates of a line than that of the search."""

import math
from collections.abc import Sequence

from seq2seq.config import SearchConfig


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
