"""Translations as lines of text or JSON, and translating a whole file with a progress bar."""

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from cli.runs.chunks import CHUNK, available_chunks, fixed_chunks, lines_at_once
from cli.runs.reranking import features_of
from cli.runs.translation import Candidate, Translation
from cli.runs.translator import Line, Translator
from cli.runs.translator_processes import TranslatorProcesses
from cli.terminal.console import warn, write_json, write_line
from cli.terminal.source_report import SourceReport
from data.corpus import line_count, read_lines, read_pairs
from data.inputs import can_be_read_once, display_name
from seq2seq.evaluation.alignment import merge_pieces, pharaoh, to_json
from seq2seq.evaluation.rescoring import Features


def translate_lines(
    translator: Translator,
    file: Path,
    *,
    n_best: int = 1,
    as_json: bool = False,
    alignments: bool = False,
    workers: int = 1,
    prefixes: Path | None = None,
) -> None:
    """Translate the lines of a file and write each translation to stdout, in order.

    What comes through a pipe is translated as it comes; a bar shows the progress of a file where
    stdout is not the terminal too. With several `workers`, as many processes translate.

    prefixes: a file with the text that each translation is to begin with
    """
    from cli.terminal.screen import progress

    report = SourceReport(translator, display_name(file))
    lines: Iterator[Line] = read_lines(file) if prefixes is None else read_pairs(file, prefixes)
    waits = any(can_be_read_once(each) for each in (file, prefixes) if each is not None)
    size = min(CHUNK, lines_at_once(n_best))
    chunks = available_chunks(lines, size=size) if waits else fixed_chunks(lines, size=size)
    with progress(disable=waits or sys.stdout.isatty()) as bar:
        task = bar.add_task("translating", total=None if bar.disable else line_count(file))
        for number, translation in enumerate(
            translations_of(
                translator, chunks, workers=workers, n_best=n_best, alignments=alignments
            )
        ):
            warn_if_truncated(translation, line=number + 1)
            report.add(translation)
            if as_json:
                write_json(translation_json(translation, alignments=alignments))
            else:
                for text in output_lines(translation, number, n_best=n_best, alignments=alignments):
                    write_line(text)
            bar.advance(task)
    report.warn()


def translations_of(
    translator: Translator,
    chunks: Iterable[Sequence[Line]],
    *,
    workers: int = 1,
    n_best: int = 1,
    alignments: bool = False,
) -> Iterator[Translation]:
    """The translations of all chunks, in order; stdout is flushed after each chunk.

    alignments: whether they are needed; some may lack theirs otherwise
    """
    if workers == 1:
        for chunk in chunks:
            yield from translator.translate(chunk, n_best=n_best)
            sys.stdout.flush()
        return
    with TranslatorProcesses(translator, workers) as processes:
        for found in processes.translate(chunks, n_best=n_best, alignments=alignments):
            yield from found
            sys.stdout.flush()


def translate_with_progress(
    translator: Translator,
    lines: Sequence[str],
    report: SourceReport | None = None,
    *,
    workers: int = 1,
) -> tuple[list[str], float]:
    """The best translation of every line, and the seconds that it took; with a progress bar.

    report: to which the lines are added, if there is one
    workers: how many processes translate
    """
    from cli.terminal.screen import progress

    started, texts = time.monotonic(), list[str]()
    chunks = fixed_chunks(iter(lines), size=4 * translator.search.batch_sentences)
    with progress() as bar:
        task = bar.add_task("translating", total=len(lines))
        for translation in translations_of(translator, chunks, workers=workers):
            texts.append(translation.text)
            if report is not None:
                report.add(translation)
            warn_if_truncated(translation, line=len(texts))
            bar.advance(task)
    return texts, time.monotonic() - started


def candidates_with_progress(translator: Translator, lines: Sequence[str]) -> list[list[Features]]:
    """The rescored candidates of every line, the one that the search ranks first in front."""
    from cli.terminal.screen import progress

    found, beam = [], translator.search.beam
    size = min(4 * translator.search.batch_sentences, lines_at_once(beam))
    chunks = fixed_chunks(iter(lines), size=size)
    with progress() as bar:
        task = bar.add_task("translating", total=len(lines))
        for translation in translations_of(translator, chunks, n_best=beam):
            found.append(features_of(translation.candidates))
            bar.advance(task)
    return found


def warn_if_truncated(translation: Translation, *, line: int) -> None:
    if translation.truncated:
        warn(f"line {line} is longer than search.max_source_pieces and was cut")


def output_lines(
    translation: Translation, number: int, *, n_best: int, alignments: bool
) -> list[str]:
    """The lines of plain output for one source line; line numbers count from 0."""
    if not translation.candidates:
        fields = [""] if n_best == 1 else [str(number), "", "0"]
        return [" ||| ".join([*fields, ""] if alignments and n_best > 1 else fields)]
    lines = []
    for candidate in translation.candidates:
        fields = [candidate.text]
        if n_best > 1:
            fields = [str(number), candidate.text, f"{candidate.score:.4f}"]
        if alignments:
            fields.append(_word_links(candidate))
        lines.append(" ||| ".join(fields))
    return lines


def translation_json(translation: Translation, *, alignments: bool) -> dict[str, Any]:
    """The JSON object that is printed for one source line."""
    return {
        "schema_version": 1,
        "source": translation.source,
        "translation": translation.text,
        "candidates": [
            _candidate_json(candidate, alignments=alignments)
            for candidate in translation.candidates
        ],
        "truncated": translation.truncated,
    }


def _candidate_json(candidate: Candidate, *, alignments: bool) -> dict[str, Any]:
    value: dict[str, Any] = {
        "text": candidate.text,
        "score": candidate.score,
        "log_probability": candidate.log_probability,
        "pieces": list(candidate.pieces),
    }
    if candidate.reverse_log_probability is not None:
        value["reverse_log_probability"] = candidate.reverse_log_probability
    if alignments and candidate.alignment is not None:
        value["alignment"] = to_json(merge_pieces(candidate.alignment))
        value["links"] = _word_links(candidate)
    return value


def _word_links(candidate: Candidate) -> str:
    """The alignment as word pairs, "0-0 1-2"; "" for a model without attention."""
    return pharaoh(merge_pieces(candidate.alignment)) if candidate.alignment is not None else ""
