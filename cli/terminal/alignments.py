"""Alignments of translations, written as Pharaoh links or JSON."""

from collections.abc import Iterator
from pathlib import Path

from cli.runs.translator import Translation, Translator, available_chunks
from cli.terminal.console import note, write_json, write_line
from cli.terminal.translations import warn_if_truncated
from data.corpus import read_lines, read_pairs, survey_pair
from data.inputs import rereadable
from seq2seq.evaluation.alignment import merge_pieces, pharaoh, to_json


def aligned_translations(
    translator: Translator, source: Path, target: Path | None, *, head: int | None
) -> Iterator[Translation]:
    """The lines of SOURCE with the model's translations, or with those of TARGET if it is given."""
    if target is None:
        for lines in available_chunks(read_lines(source)):
            yield from translator.translate(lines, head=head)
        return
    with rereadable(source, target, notify=note):
        survey_pair(source, target)  # unequal counts are refused before anything is written
        for pairs in available_chunks(read_pairs(source, target)):
            yield from translator.align_all(pairs, head=head)


def write_alignment(
    translation: Translation,
    number: int,
    *,
    as_json: bool,
    pieces: bool,
    threshold: float | None = None,
) -> None:
    """Write the alignment of one translation to stdout; `number` counts lines from 1."""
    warn_if_truncated(translation, line=number)
    alignment = translation.candidates[0].alignment if translation.candidates else None
    if alignment is not None and not pieces:
        alignment = merge_pieces(alignment)
    if not as_json:
        write_line(pharaoh(alignment, threshold=threshold) if alignment else "")
    else:
        value = {"schema_version": 1, "source": translation.source, "target": translation.text}
        write_json(value | {"alignment": to_json(alignment) if alignment else None})
