"""`align --statistics`: attention over a corpus, as a table with histograms or as JSON, and the
sentences by how doubtful their attention makes them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cli.runs.translation import Translation
from cli.runs.translator import Translator
from cli.terminal.alignments import aligned_translations
from cli.terminal.console import write_json, write_line
from cli.terminal.screen import progress
from seq2seq.errors import CorpusError
from seq2seq.evaluation.alignment import Alignment, FloatArray, merge_pieces
from seq2seq.evaluation.attention_statistics import (
    FARTHEST_JUMP,
    MOST_LINKS,
    CorpusAttention,
    SentenceAttention,
    corpus_attention,
    sentence_attention,
)
from seq2seq.system.figures import bars, counted, percent

SHOWN = 10  # of the most doubtful sentences
SHOWN_CHARACTERS = 60  # of a source and a translation
BINS = 12  # of a histogram of sentences


@dataclass(frozen=True)
class MeasuredSentence:
    """A line of text, its translation, and the statistics of the attention between them."""

    line: int  # from 1
    source: str
    target: str
    attention: SentenceAttention


def report_statistics(
    translator: Translator,
    source: Path,
    target: Path | None,
    *,
    head: int | None,
    shift: int,
    pieces: bool,
    as_json: dict[str, Any] | None,
) -> None:
    """Print the statistics of all lines; as one JSON object with these further entries, if given.

    Raises CorpusError where no line has words.
    """
    found = list(_measured(translator, source, target, head=head, shift=shift, pieces=pieces))
    if not found:
        raise CorpusError("no line has words on both sides", hint="give text that is not blank")
    corpus = corpus_attention([each.attention for each in found])
    ranked = sorted(found, key=lambda each: -each.attention.doubt)
    if as_json is None:
        _print_table(corpus, ranked, unit="piece" if pieces else "word")
    else:
        write_json({"schema_version": 1, **_corpus_json(corpus), **as_json, **_ranked_json(ranked)})


def _measured(
    translator: Translator,
    source: Path,
    target: Path | None,
    *,
    head: int | None,
    shift: int,
    pieces: bool,
) -> Iterator[MeasuredSentence]:
    def units(translation: Translation) -> Alignment | None:
        alignment = translator.with_weights(translation, shift=shift).alignment
        return alignment if alignment is None or pieces else merge_pieces(alignment)

    translations = aligned_translations(translator, source, target, head=head)
    with progress() as bar:
        task = bar.add_task("attention", total=None)
        for line, translation in enumerate(translations, start=1):
            bar.advance(task)
            alignment = units(translation)
            if alignment is None:
                continue
            heads: list[FloatArray] = []
            if translator.heads > 1 and head is None:
                single = [
                    units(translator.align(translation.source, translation.text, head=number))
                    for number in range(1, translator.heads + 1)
                ]
                heads = [each.weights for each in single if each is not None]
            measured = sentence_attention(alignment, heads)
            if measured is not None:
                yield MeasuredSentence(line, translation.source, translation.text, measured)


def _print_table(corpus: CorpusAttention, ranked: Sequence[MeasuredSentence], *, unit: str) -> None:
    """Tables for people; no line is wrapped."""
    write_line(
        f"{counted(corpus.sentences, 'sentence')}: {corpus.source_words:,} source and "
        f"{corpus.target_words:,} target {unit}s, the ends of sentences included"
    )
    write_line("means over words; at the right the distribution over sentences, lowest to highest")
    write_line("")
    by_name: dict[str, tuple[str, Callable[[SentenceAttention], float]]] = {
        "entropy": (f"{corpus.entropy:.2f} nats a target {unit}", _entropy_of),
        "monotonicity": (f"{percent(corpus.monotonicity)} of steps in order", _monotonicity_of),
        "coverage deviation": (f"{corpus.coverage_deviation:.3f}", _deviation_of),
        "absentmindedness": (f"{corpus.absentmindedness_in:.2f} nats a source {unit}", _in_of),
        "confidence": (f"{np.mean([e.attention.confidence for e in ranked]):.3f}", _confidence_of),
    }
    for name, (value, of) in by_name.items():
        write_line(f"{name:<19} {value:<27} {_histogram([of(e.attention) for e in ranked])}")
    write_line(f"{'unattended':<19} {percent(corpus.unattended)} of source {unit}s")
    if corpus.agreement is not None:
        write_line(f"{'agreement of heads':<19} {corpus.agreement:.3f}")
    fertilities = [*map(str, range(MOST_LINKS)), f"{MOST_LINKS}+"]
    _print_counts(f"fertility, target {unit}s", fertilities, corpus.fertilities.tolist())
    jumps = [f"{jump:+d}" if jump else "0" for jump in range(-FARTHEST_JUMP, FARTHEST_JUMP + 1)]
    _print_counts(f"distortion, source {unit}s", jumps, corpus.jumps.tolist())
    write_line("")
    write_line("most doubtful first: line, confidence, source and translation")
    for each in ranked[:SHOWN]:
        texts = (_cut(each.source), _cut(each.target))
        write_line(f"{each.line:>6}  {each.attention.confidence:.3f}  {' → '.join(texts)}")


def _print_counts(name: str, labels: Sequence[str], counts: Sequence[int]) -> None:
    """A histogram in one line, and the share of each of its bars in the next."""
    total = max(sum(counts), 1)
    shares = (f"{label}: {100 * n / total:.0f} %" for label, n in zip(labels, counts, strict=True))
    write_line(f"{name:<28} {bars(counts)}")
    write_line(f"  {', '.join(shares)}")


def _histogram(values: Sequence[float]) -> str:
    """A histogram of values of sentences, between the least and the largest of them."""
    counts, edges = np.histogram(values, bins=BINS)
    return f"{edges[0]:.2f} {bars(counts.tolist())} {edges[-1]:.2f}"


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"


def _entropy_of(attention: SentenceAttention) -> float:
    return attention.absentmindedness_out


def _monotonicity_of(attention: SentenceAttention) -> float:
    return attention.steps_in_order / attention.steps if attention.steps else 1.0


def _deviation_of(attention: SentenceAttention) -> float:
    return attention.coverage_deviation


def _in_of(attention: SentenceAttention) -> float:
    return attention.absentmindedness_in


def _confidence_of(attention: SentenceAttention) -> float:
    return attention.confidence


def _corpus_json(corpus: CorpusAttention) -> dict[str, Any]:
    names = ("sentences", "source_words", "target_words", "entropy", "monotonicity")
    more = ("coverage_deviation", "absentmindedness_in", "unattended", "agreement")
    return {
        **{name: getattr(corpus, name) for name in (*names, *more)},
        "fertilities": corpus.fertilities.tolist(),
        "jumps": {
            str(jump): count
            for jump, count in zip(
                range(-FARTHEST_JUMP, FARTHEST_JUMP + 1), corpus.jumps.tolist(), strict=True
            )
        },
    }


def _ranked_json(ranked: Sequence[MeasuredSentence]) -> dict[str, Any]:
    return {
        "ranked": [
            {
                "line": each.line,
                "source": each.source,
                "target": each.target,
                "confidence": each.attention.confidence,
                "doubt": each.attention.doubt,
                "coverage_deviation": each.attention.coverage_deviation,
                "absentmindedness_out": each.attention.absentmindedness_out,
                "absentmindedness_in": each.attention.absentmindedness_in,
                "monotonicity": _monotonicity_of(each.attention),
                "agreement": each.attention.agreement,
            }
            for each in ranked
        ]
    }
