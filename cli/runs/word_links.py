"""Word links by the attention of trained runs: shifted, symmetrised, and compared with those of
people."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cli.runs.config import RunConfig
from cli.runs.translation import Translation
from cli.runs.translator import Translator
from data.corpus import SentencePair
from seq2seq.config import ModelConfig
from seq2seq.errors import ConfigError
from seq2seq.evaluation.alignment import Link, merge_words, word_links
from seq2seq.evaluation.link_quality import (
    BOOTSTRAP_SAMPLES,
    AlignmentQuality,
    alignment_error_rate,
)
from seq2seq.evaluation.links import ReferenceLinks

SHIFTS = (0, 1, -1)
"""The shifts among which one is chosen; of equally good ones the first."""

LinksByShift = Mapping[int, set[Link]]
"""The links of one sentence, as (source word, target word), for each shift."""


class Shift(NamedTuple):
    """The step whose weights a target piece is given, relative to the step that wrote it."""

    rows: int
    reason: str  # why it is this one, in words
    error_rates: Mapping[int, float] = {}  # AER of each shift, where it was chosen by links


def guided_head(config: RunConfig) -> int | None:
    """The head, from 1, that guided alignment taught; None where it taught the mean, or nothing."""
    training = config.training
    return training.guided_alignment_head if training.guided_alignment else None


def guided_shift(config: RunConfig) -> Shift:
    """The shift at which guided alignment had attention learn links; 0 where it did not."""
    training = config.training
    if not training.guided_alignment:
        return Shift(0, "the weights of the step that writes a piece")
    return Shift(training.guided_alignment_shift, "guided alignment had attention learn links so")


def known_shift(config: RunConfig) -> Shift:
    """The shift that guided alignment taught, else that which follows from the model."""
    if config.training.guided_alignment:
        return guided_shift(config)
    return shift_of_order(config.model)


def shift_of_order(config: ModelConfig) -> Shift:
    """The shift that follows from how a model computes: to the piece that a context helps to write.

    With the context in the readout this is the piece of its own step, in every order of attention.
    Where it enters the recurrent layers alone, it is so too if they run after attention and the
    readout is that of the new state; otherwise the context helps to write the next piece first.
    """
    if config.readout_has_context or (config.context_to_upper and config.readout_state == "new"):
        return Shift(0, "the context of a step is part of its readout")
    if config.attention != "luong" and config.readout_state == "new":
        return Shift(0, f"in the order {config.attention} the context precedes the readout's state")
    return Shift(-1, "the context of a step is first used in the readout of the next one")


@dataclass(frozen=True, kw_only=True)
class Linker:
    """Links the words between spaces of sentence pairs, by the attention of one run."""

    translator: Translator
    backward: bool = False  # whether the run translates target to source
    head: int | None = None  # from 1; None: the mean of all
    threshold: float | None = None  # None: each target word is linked to its largest weight
    posterior: bool = False  # of what `Translator.posterior` makes of attention

    def links(self, pairs: Sequence[SentencePair], shifts: Sequence[int]) -> list[LinksByShift]:
        """The links of pairs as (source, target), whatever the run's direction."""
        own = [SentencePair(p.target, p.source) for p in pairs] if self.backward else pairs
        translations = self.translator.align_all(own, head=self.head)
        return [
            self._of_pair(pair, translation, shifts)
            for pair, translation in zip(own, translations, strict=True)
        ]

    def _of_pair(
        self, pair: SentencePair, translation: Translation, shifts: Sequence[int]
    ) -> LinksByShift:
        """pair: in the run's own direction; it has no alignment where a side is blank"""
        found = {shift: set[Link]() for shift in shifts}
        alignment = translation.alignment
        if alignment is None:
            return found
        best, words = translation.candidates[0], self.translator.words(*pair)
        for shift in shifts:
            weights = self.translator.weights(
                pair.source, best, alignment, shift=shift, posterior=self.posterior
            )
            merged = merge_words(weights, *words)
            links = word_links(merged, threshold=self.threshold)
            found[shift] = {(i, j) for j, i in links} if self.backward else links
        return found


def word_counts(pairs: Iterable[SentencePair]) -> list[tuple[int, int]]:
    """Words between spaces of source and target."""
    return [(len(pair.source.split()), len(pair.target.split())) for pair in pairs]


def refuse_equal_direction(
    forward: tuple[str | None, str | None], backward: tuple[str | None, str | None]
) -> None:
    """Raises ConfigError where the languages of two runs are known not to be opposite."""
    known = None not in (*forward, *backward)
    if known and forward != backward[::-1]:
        raise ConfigError(
            f"the run of --with-reverse translates {backward[0]} to {backward[1]}, and RUN "
            f"{forward[0]} to {forward[1]}: they are not two directions of one pair of languages",
            hint=f"name a run that translates {forward[1]} to {forward[0]}",
        )


def choose_shift(
    found: Sequence[LinksByShift],
    references: Sequence[ReferenceLinks],
    shifts: Sequence[int] = SHIFTS,
) -> Shift:
    """The shift with the lowest AER against the links of people."""
    rates = {
        shift: measure([links[shift] for links in found], references, bootstrap_samples=0).aer
        for shift in shifts
    }
    best = min(shifts, key=lambda shift: rates[shift])
    return Shift(best, "it has the lowest AER of these links", rates)


def measure(
    found: Sequence[set[Link]],
    references: Sequence[ReferenceLinks],
    *,
    bootstrap_samples: int = BOOTSTRAP_SAMPLES,
) -> AlignmentQuality:
    """Links compared with those of people."""
    return alignment_error_rate(
        found,
        [each.sure for each in references],
        [each.possible for each in references],
        bootstrap_samples=bootstrap_samples,
    )
