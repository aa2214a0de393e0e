"""The state of a prompt: settings and the last translation; and printing translations there."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from cli.runs.confidence import words
from cli.runs.translation import Candidate, Translation
from cli.runs.translator import Translator
from cli.runs.views import Head, Selection, guided_selection, views
from cli.terminal.console import note, write_line
from cli.terminal.pictures import Layout, draw_views
from cli.terminal.screen import write_dimmed
from cli.terminal.translations import translation_json
from data.corpus import SentencePair
from data.source_statistics import SourceSummary
from seq2seq.errors import ConfigError
from seq2seq.rendering.drawing import Style
from seq2seq.rendering.labels import left_justified, widest

DrawnAttention: TypeAlias = Literal["off", "on", "pieces"]
TYPING_BEAM = 5  # at most, of the words that are offered as somebody types
UNSURE = 0.5  # a word with a lower probability is dim


@dataclass
class Session:
    """A conversation: the model, what was chosen, and what was translated."""

    translator: Translator
    n_best: int = 1
    attention: DrawnAttention = "off"
    style: Style = "auto"
    head: Head = "guided"
    confidence: bool = True  # whether words are dim where the model is unsure
    compared: dict[str, Translator] = field(default_factory=dict)  # other runs, by their names
    last: Translation | None = None
    translations: list[dict[str, Any]] = field(default_factory=list)  # as JSON values
    _quick: tuple[Translator, Translator] | None = None  # it, and with a small beam

    @property
    def selection(self) -> Selection:
        """The head, the shift and the words or pieces that are drawn of a translation."""
        selection = Selection(self.head, pieces=self.attention == "pieces")
        return guided_selection(self.translator, selection)

    def require_last(self) -> Translation:
        """Raises ConfigError before a sentence was typed."""
        if self.last is None:
            raise ConfigError("there is no sentence yet", hint="type one first")
        return self.last

    def change_search(self, changes: dict[str, Any]) -> None:
        """Change settings of section `search`. Raises ConfigError, and then changes none."""
        changed = self.translator.with_search(changes, note)
        own = {name: value for name, value in changes.items() if name != "ensemble_weights"}
        compared = {name: each.with_search(own, note) for name, each in self.compared.items()}
        self.translator, self.compared = changed, compared

    def continuation(self, prefix: str) -> str:
        """How a translation of the last sentence goes on that begins with the prefix.

        It is searched with a small beam, without samples: somebody is typing. "" where nothing
        follows, and where the translation spells the prefix in another way.
        """
        if self.last is None or not self.last.candidates:
            return ""
        if self._quick is None or self._quick[0] is not self.translator:
            search = self.translator.search
            changes = {"beam": min(search.beam, TYPING_BEAM), "diverse_groups": 1}
            quick = self.translator.with_search(changes | {"sample": False, "mbr": 0})
            self._quick = self.translator, quick
        (found,) = self._quick[1].translate([SentencePair(self.last.source, prefix)])
        return found.text.removeprefix(prefix) if found.text.startswith(prefix) else ""

    def translate(self, source: str, prefix: str = "") -> None:
        """Print the translations of a line, which begin with the prefix, and what is noticed."""
        translation = self._translated(self.translator, source, prefix)
        self.last = translation
        self._warn(translation)
        for name, shown in self._all(translation, prefix):
            for number, candidate in enumerate(shown.candidates):
                score = f"{candidate.score:8.3f}  " if self.n_best > 1 else ""
                self._write(name + score, candidate, is_best=number == 0 and shown is translation)
        self.translations.append(translation_json(translation, alignments=False))
        if self.attention != "off":
            self.draw(translation)

    def draw(self, translation: Translation) -> None:
        draw_views(views(self.translator, translation, self.selection), Layout(self.style))

    def _translated(self, translator: Translator, source: str, prefix: str) -> Translation:
        head = self.selection.search_head if translator is self.translator else None
        line = SentencePair(source, prefix) if prefix else source
        return translator.translate([line], n_best=self.n_best, head=head)[0]

    def _all(self, translation: Translation, prefix: str) -> Iterator[tuple[str, Translation]]:
        """The translation and those of the runs that are compared, each after its label."""
        if not self.compared:
            yield "", translation
            return
        own = self.translator.name
        width = widest((own, *self.compared))
        yield left_justified(own, width) + "  ", translation
        for name, translator in self.compared.items():
            label = left_justified(name, width) + "  "
            yield label, self._translated(translator, translation.source, prefix)

    def _warn(self, translation: Translation) -> None:
        if translation.truncated:
            note("the sentence is longer than search.max_source_pieces and was cut")
        summary = SourceSummary(self.translator.comparison)
        summary.add(translation.source, translation.source_ids)
        for finding in summary.findings(single=True):
            note(finding)

    def _write(self, label: str, candidate: Candidate, *, is_best: bool) -> None:
        """A candidate; the words of the best that the model is unsure of are dim on a terminal."""
        if not (is_best and self.confidence and sys.stdout.isatty()):
            write_line(label + candidate.text)
            return
        assert self.last is not None
        parts = words(self.translator, self.last.source, candidate)
        write_dimmed([(label, False), *((word.text, word.probability < UNSURE) for word in parts)])
