"""How sure a model is of each word of a translation."""

import math
from dataclasses import dataclass

from cli.runs.translation import Candidate
from cli.runs.translator import Translator
from seq2seq.evaluation.alignment import word_starts


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a translation, with the space before it if there is one."""

    text: str
    probability: float  # of all its pieces, after the words before it


def words(translator: Translator, source: str, candidate: Candidate) -> list[Word]:
    """The words of a candidate for a line, whose texts together are its text.

    In scripts without spaces each piece is a word.
    """
    log_probabilities = translator.log_probabilities(source, candidate)
    starts = word_starts(candidate.pieces)
    ends = [*starts, len(candidate.ids)][1:]
    texts = [translator.text_of(candidate, end) for end in ends]
    found, before = [], ""
    for begin, end, text in zip(starts, ends, texts, strict=True):
        if not text.startswith(before):  # its pieces are no text on their own
            return [Word(candidate.text, math.exp(math.fsum(log_probabilities)))]
        if written := text.removeprefix(before):
            found.append(Word(written, math.exp(math.fsum(log_probabilities[begin:end]))))
        before = text
    return found
