"""Scores of given pairs: columns or a JSON object for each, and those of the corpus on stderr."""

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cli.runs.chunks import fixed_chunks
from cli.runs.translation import PairScore
from cli.runs.translator import Translator
from cli.runs.translator_processes import TranslatorProcesses
from cli.terminal.console import note, warn, write_json, write_line
from cli.terminal.screen import progress
from data.corpus import SentencePair, read_pairs, survey_pair
from data.inputs import rereadable
from seq2seq.system.figures import counted

SCHEMA_VERSION = 1  # of the JSON objects


def write_pair_scores(
    translator: Translator, source: Path, target: Path, *, as_json: bool, workers: int = 1
) -> None:
    """Score two files line by line and write each score to stdout, in order.

    workers: how many processes score
    """
    total, tokens, blank = 0.0, 0, 0
    scores = _scores(translator, source, target, workers)
    for number, score in enumerate(scores, start=1):
        if score.truncated:
            warn(f"line {number} is longer than search.max_source_pieces and was cut")
        if as_json:
            write_json(pair_score_json(score))
        else:
            write_line(columns(score))
        total += score.log_probability
        tokens += len(score.pieces)
        blank += not score.pieces
    if blank:
        warn(f"no scores for {counted(blank, 'blank source line')}")
    if tokens:
        note(
            f"{counted(tokens, 'target token')}, log-probability {total / tokens:.4f} a token, "
            f"perplexity {perplexity(total, tokens):.4f}"
        )


def _scores(
    translator: Translator, source: Path, target: Path, workers: int
) -> Iterator[PairScore]:
    """The scores of all pairs; a bar shows the progress where stdout is not the terminal too."""
    with rereadable(source, target, notify=note):
        lines = survey_pair(source, target)[0].lines  # unequal counts are refused before any output
        with progress(disable=sys.stdout.isatty()) as bar:
            task = bar.add_task("scoring", total=lines)
            for scores in _chunks_of_scores(translator, read_pairs(source, target), workers):
                yield from scores
                sys.stdout.flush()
                bar.advance(task, len(scores))


def _chunks_of_scores(
    translator: Translator, pairs: Iterator[SentencePair], workers: int
) -> Iterator[list[PairScore]]:
    if workers == 1:
        yield from map(translator.score_pairs, fixed_chunks(pairs))
        return
    with TranslatorProcesses(translator, workers) as processes:
        yield from processes.score_pairs(fixed_chunks(pairs))


def columns(score: PairScore) -> str:
    """log P(target | source), tokens, log P a token, perplexity; blank where there is no score."""
    if not score.pieces:
        return ""
    total, tokens = score.log_probability, len(score.pieces)
    values = (f"{total:.6f}", str(tokens), f"{total / tokens:.6f}")
    return "\t".join((*values, f"{perplexity(total, tokens):.6f}"))


def pair_score_json(score: PairScore) -> dict[str, Any]:
    """The JSON object that is printed for one pair."""
    total, tokens = score.log_probability, len(score.pieces)
    return {
        "schema_version": SCHEMA_VERSION,
        "source": score.pair.source,
        "target": score.pair.target,
        "log_probability": total if tokens else None,
        "tokens": tokens,
        "log_probability_per_token": total / tokens if tokens else None,
        "perplexity": perplexity(total, tokens) if tokens else None,
        "pieces": list(score.pieces),
        "log_probabilities": list(score.log_probabilities),
        "truncated": score.truncated,
    }


def perplexity(log_probability: float, tokens: int) -> float:
    """exp of the mean negative log-probability of a token, up to the largest number there is."""
    try:
        return math.exp(-log_probability / tokens)
    except OverflowError:
        return sys.float_info.max
