"""Results of a translator: translations with their candidates, and scores of given ones."""

import math
from dataclasses import dataclass

from data.corpus import SentencePair
from seq2seq.evaluation.alignment import Alignment


@dataclass(frozen=True)
class Candidate:
    """One of the translations that the search found for a line."""

    text: str
    score: float  # log-probability with the penalties, or utility; higher is better
    log_probability: float  # natural logarithm
    ids: tuple[int, ...]  # with that of the end of the sentence, unless the search was cut off
    pieces: tuple[str, ...]  # a name for each of them
    alignment: Alignment | None  # of subword pieces; None for a model without attention
    reverse_log_probability: float | None = None  # of the source, if it was rescored
    search_score: float | None = None  # the score before it was rescored

    @property
    def piece_probability(self) -> float:
        """The geometric mean of the probabilities of its pieces."""
        return math.exp(self.log_probability / max(1, len(self.pieces)))


@dataclass(frozen=True)
class Translation:
    """A line and its translations, the best first; a blank line has none."""

    source: str
    candidates: tuple[Candidate, ...]
    truncated: bool  # whether the source was longer than search.max_source_pieces
    source_ids: tuple[int, ...] = ()  # all pieces of the source, without a tag

    @property
    def text(self) -> str:
        """The best translation; empty for a blank line."""
        return self.candidates[0].text if self.candidates else ""

    @property
    def alignment(self) -> Alignment | None:
        """The attention of the best translation; None without attention or for a blank line."""
        return self.candidates[0].alignment if self.candidates else None


@dataclass(frozen=True)
class PairScore:
    """The probability that the model gives to a translation of a line; none if the line is blank.

    Logarithms are natural ones.
    """

    pair: SentencePair
    pieces: tuple[str, ...]  # of the target, with the end-of-sentence symbol
    log_probabilities: tuple[float, ...]  # of each of `pieces`
    truncated: bool  # whether the source was longer than search.max_source_pieces

    @property
    def log_probability(self) -> float:
        """The log-probability of the whole target."""
        return math.fsum(self.log_probabilities)
