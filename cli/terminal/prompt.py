"""The line editor of `translate --interactive`: type a sentence, read its translation."""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import cast, get_args

from platformdirs import user_state_path
from prompt_toolkit import PromptSession
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.history import FileHistory, History, InMemoryHistory

from cli.runs.config import build_section, checked_n_best, toml_value
from cli.runs.translator import Translation, Translator
from cli.runs.views import Head, Selection, parse_head, views
from cli.terminal.console import note, write_line
from cli.terminal.pictures import Layout, draw_views
from data.corpus import read_lines
from data.inputs import STDIN
from data.source_statistics import SourceSummary
from seq2seq.errors import UserError
from seq2seq.rendering.drawing import Mode, Style

HELP = """\
a sentence        is translated
/beam 8           use beam size 8 (1 is greedy search)
/n-best 3         print the 3 best translations
/alignments on    draw the attention for each translation; also: pieces, off
/style half       how it is drawn: auto, grid, compact, half, values or list
/head 2           draw this attention head; also: all, mean
/force TEXT       draw the attention for TEXT as the translation of the last sentence
/help             print this list
/quit             leave, as does Ctrl-D; Ctrl-C clears the line or ends the search
//...             a sentence that begins with a slash"""


@dataclass(frozen=True)
class PromptSettings:
    """What was chosen at the prompt."""

    n_best: int = 1
    alignments: str = "off"  # off, on (words), pieces
    style: Style = "auto"  # of their drawings
    head: Head = "mean"

    @property
    def selection(self) -> Selection:
        """What is drawn of a translation."""
        return Selection(self.head, pieces=self.alignments == "pieces")


def converse(translator: Translator, *, n_best: int = 1, alignments: bool = False) -> None:
    """Translate typed sentences and obey typed commands until the end of input."""
    settings = PromptSettings(n_best, "on" if alignments else "off")
    note("type a sentence, or /help; Ctrl-D leaves")
    last = ""
    for line in _typed_lines():
        try:
            if line.startswith("/") and not line.startswith("//"):
                command, _, argument = line[1:].partition(" ")
                if command in ("quit", "exit"):
                    return
                settings = _obey(translator, settings, command, argument.strip(), last)
            elif line.strip():
                last = line.removeprefix("/")
                _print_translation(translator, settings, last)
        except UserError as error:
            note(f"{error.message}" + (f" ({error.hint})" if error.hint else ""))
        except KeyboardInterrupt:
            if not sys.stdin.isatty():
                raise
            note("interrupted; /quit or Ctrl-D leaves")
        sys.stdout.flush()


def _print_translation(translator: Translator, settings: PromptSettings, line: str) -> None:
    head = settings.selection.search_head
    (translation,) = translator.translate([line], n_best=settings.n_best, head=head)
    if translation.truncated:
        note("the sentence is longer than search.max_source_pieces and was cut")
    summary = SourceSummary(translator.comparison)
    summary.add(translation.source, translation.source_ids)
    for finding in summary.findings(single=True):
        note(finding)
    for candidate in translation.candidates:
        score = f"{candidate.score:8.3f}  " if settings.n_best > 1 else ""
        write_line(score + candidate.text)
    if settings.alignments != "off":
        _draw(translator, settings, translation)


def _obey(
    translator: Translator, settings: PromptSettings, command: str, argument: str, last: str
) -> PromptSettings:
    """Carry out a command; returns the settings afterwards. `last` is the last sentence typed."""
    if command == "help":
        for row in HELP.split("\n"):
            write_line(row)
    elif command == "beam":
        if argument:
            changed = translator.search.model_dump() | {"beam": toml_value(argument)}
            translator.search = build_section("search", changed)
        note(f"beam {translator.search.beam}")
    elif command == "n-best":
        if argument:
            settings = replace(settings, n_best=checked_n_best(toml_value(argument)))
        note(f"n-best {settings.n_best}")
    elif command == "alignments":
        settings = _with_alignments(settings, argument)
    elif command == "style":
        settings = _with_style(settings, argument)
    elif command == "head":
        settings = _with_head(translator, settings, argument)
    elif command == "force":
        _draw_forced(translator, settings, last, argument)
    else:
        note(f"unknown command /{command}; /help lists the commands")
    return settings


def _with_alignments(settings: PromptSettings, argument: str) -> PromptSettings:
    if argument not in ("", "on", "off", "pieces"):
        note("/alignments takes on, pieces or off")
        return settings
    chosen = argument or ("on" if settings.alignments == "off" else "off")
    note(f"alignments {chosen}")
    return replace(settings, alignments=chosen)


def _with_style(settings: PromptSettings, argument: str) -> PromptSettings:
    styles = ("auto", *get_args(Mode))
    if argument and argument not in styles:
        note(f"/style takes {', '.join(styles)}")
        return settings
    settings = replace(settings, style=cast(Style, argument) if argument else settings.style)
    note(f"style {settings.style}")
    return settings


def _with_head(translator: Translator, settings: PromptSettings, argument: str) -> PromptSettings:
    if argument:
        translator.require_attention()
        settings = replace(settings, head=parse_head(argument))
        settings.selection.check(translator)
    note(f"head {settings.head}")
    return settings


def _draw_forced(translator: Translator, settings: PromptSettings, last: str, target: str) -> None:
    """Draw the attention for a translation that was typed, and print its log-probability."""
    if not last:
        note("there is no sentence yet: type one, then /force and a translation of it")
        return
    if not target:
        note("/force needs a translation of the last sentence, as in /force TEXT")
        return
    forced = translator.align(last, target, head=settings.selection.search_head)
    if forced.candidates:
        note(f"log-probability {forced.candidates[0].log_probability:.3f}")
    _draw(translator, settings, forced)


def _draw(translator: Translator, settings: PromptSettings, translation: Translation) -> None:
    found = views(translator, translation, settings.selection)
    draw_views(found, Layout(settings.style))


def _typed_lines() -> Iterator[str]:
    """Lines from the line editor on a terminal, else from standard input."""
    if not sys.stdin.isatty():
        yield from read_lines(STDIN)
        return
    commands = [row.split()[0] for row in HELP.split("\n") if row.startswith("/")]
    completer = WordCompleter(commands[:-1], sentence=True)
    session: PromptSession[str] = PromptSession(
        history=_history(), completer=completer, complete_while_typing=False
    )
    while True:
        try:
            pasted = session.prompt("> ")
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        yield from pasted.replace("\r\n", "\n").split("\n")


def _history() -> History:
    """The lines typed earlier, kept in a file of the user's that nobody else may read."""
    path = user_state_path("seq2seq") / "history"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_APPEND, 0o600))
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(path))
