"""Alignments of translations, written as Pharaoh links, as JSON or as a NumPy archive."""

import sys
from collections.abc import Iterator
from pathlib import Path

from cli.runs.chunks import available_chunks
from cli.runs.translation import Translation
from cli.runs.translator import Translator
from cli.terminal.console import note, write_json, write_line
from cli.terminal.translations import warn_if_truncated
from data.corpus import read_lines, read_pairs, survey_pair
from data.inputs import rereadable
from seq2seq.evaluation.alignment import Alignment, merge_pieces, pharaoh, to_json
from seq2seq.evaluation.alignment_archive import write_archive


def aligned_translations(
    translator: Translator, source: Path, target: Path | None, *, head: int | None
) -> Iterator[Translation]:
    """The lines of SOURCE with the model's translations, or with those of TARGET if it is given.

    stdout is flushed after each chunk, before the next one is waited for.
    """
    if target is None:
        for lines in available_chunks(read_lines(source)):
            yield from translator.translate(lines, head=head)
            sys.stdout.flush()
        return
    with rereadable(source, target, notify=note):
        survey_pair(source, target)  # unequal counts are refused before anything is written
        for pairs in available_chunks(read_pairs(source, target)):
            yield from translator.align_all(pairs, head=head)
            sys.stdout.flush()


def write_alignments(
    translations: Iterator[Translation], *, as_json: bool, pieces: bool, threshold: float | None
) -> None:
    """Write the alignment of each translation to stdout, as Pharaoh links or JSON."""
    for number, translation in enumerate(translations, start=1):
        warn_if_truncated(translation, line=number)
        alignment = _alignment_of(translation, pieces=pieces)
        if as_json:
            value = {"schema_version": 1, "source": translation.source, "target": translation.text}
            write_json(value | {"alignment": to_json(alignment) if alignment else None})
        else:
            write_line(pharaoh(alignment, threshold=threshold) if alignment else "")


def write_alignment_archive(
    translations: Iterator[Translation], output: Path, *, pieces: bool
) -> None:
    """Write the alignments of all translations to a file, whole or not at all."""

    def alignments() -> Iterator[Alignment | None]:
        for number, translation in enumerate(translations, start=1):
            warn_if_truncated(translation, line=number)
            yield _alignment_of(translation, pieces=pieces)

    write_archive(output, alignments())
    note(f"written to {output}")


def _alignment_of(translation: Translation, *, pieces: bool) -> Alignment | None:
    """That of the best translation, of words unless pieces are asked for; None for a blank line."""
    alignment = translation.alignment
    return alignment if alignment is None or pieces else merge_pieces(alignment)
