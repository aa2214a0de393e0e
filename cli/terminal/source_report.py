"""Warnings on a text to translate that is unlike the text that the model was trained on."""

from typing import Any

from cli.runs.translation import Translation
from cli.runs.translator import Translator
from cli.terminal.console import warn
from data.source_statistics import SourceSummary
from seq2seq.system.plain_text import PlainTextScan


class SourceReport:
    """Compares the lines of one text with the training sources as they are translated."""

    def __init__(self, translator: Translator, name: str) -> None:
        """name: of the text, for messages"""
        self._name, self._scan = name, PlainTextScan()
        self._summary = SourceSummary(translator.comparison)

    def add(self, translation: Translation) -> None:
        """Count the next line."""
        self._scan.add([translation.source])
        self._summary.add(translation.source, translation.source_ids)

    def warn(self) -> None:
        """Warn on stderr of whatever is out of the ordinary, once for the whole text."""
        for sign, _ in self._scan.found():
            warn(
                f"{self._scan.describe(sign, f'lines of {self._name}')}: a model translates well "
                f"only text like that of its training; {sign.undo}"
            )
        for finding in self._summary.findings():
            warn(f"{self._name}: {finding}")

    def as_json(self) -> dict[str, Any]:
        """The figures of the comparison."""
        return self._summary.as_json()
