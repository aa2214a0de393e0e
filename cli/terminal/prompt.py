"""The line editor of `translate --interactive`: type a sentence, read its translation."""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cli.terminal.console import note, stdout_console, write_line
from seq2seq.errors import UserError

if TYPE_CHECKING:
    from cli.runs.translator import Translator

HELP = """\
a sentence        is translated
/beam 8           keep 8 hypotheses (1 is greedy search)
/n-best 3         show the 3 best translations
/alignments on    draw where each word looked; also: pieces, off
/force TEXT       draw how the last sentence aligns with this translation
/help             this list
/quit             or Ctrl-D leaves; Ctrl-C clears the line
//...             a sentence that begins with a slash"""


@dataclass(frozen=True)
class Settings:
    """What the person at the prompt has chosen."""

    n_best: int = 1
    alignments: str = "off"  # off, on (words), pieces


def converse(translator: "Translator", *, n_best: int = 1, alignments: bool = False) -> None:
    """Answer line after line until the end of input."""
    settings = Settings(n_best, "on" if alignments else "off")
    note("type a sentence, or /help; Ctrl-D leaves")
    last = ""
    for line in _typed():
        try:
            if line.startswith("/") and not line.startswith("//"):
                command, _, argument = line[1:].partition(" ")
                if command in ("quit", "exit"):
                    return
                settings = _obey(translator, settings, command, argument.strip(), last)
            elif line.strip():
                last = line.removeprefix("/")
                _answer(translator, settings, last)
        except UserError as error:
            note(f"{error.message}" + (f" ({error.hint})" if error.hint else ""))
        sys.stdout.flush()


def _answer(translator: "Translator", settings: Settings, line: str) -> None:
    (translation,) = translator.translate([line], n_best=settings.n_best)
    if translation.truncated:
        note("the sentence is longer than search.max_source_pieces and was cut")
    for candidate in translation.candidates:
        score = f"{candidate.score:8.3f}  " if settings.n_best > 1 else ""
        write_line(score + candidate.text)
    if settings.alignments != "off" and translation.candidates:
        _draw(translation.candidates[0].alignment, pieces=settings.alignments == "pieces")


def _obey(
    translator: "Translator", settings: Settings, command: str, argument: str, last: str
) -> Settings:
    from cli.runs.config import build_section

    if command == "help":
        for row in HELP.split("\n"):
            write_line(row)
    elif command == "beam":
        changed = translator.search.model_dump() | {
            "beam": _number(argument, translator.search.beam)
        }
        translator.search = build_section("search", changed)
        note(f"beam {translator.search.beam}")
    elif command == "n-best":
        settings = replace(settings, n_best=max(1, _number(argument, settings.n_best)))
        note(f"n-best {settings.n_best}")
    elif command == "alignments":
        settings = _with_alignments(translator, settings, argument)
    elif command == "force":
        _force(translator, settings, last, argument)
    else:
        note(f"there is no /{command}; /help lists what there is")
    return settings


def _with_alignments(translator: "Translator", settings: Settings, argument: str) -> Settings:
    if argument not in ("", "on", "off", "pieces"):
        note("/alignments takes on, pieces or off")
        return settings
    translator.require_attention()
    chosen = argument or ("on" if settings.alignments == "off" else "off")
    note(f"alignments {chosen}")
    return replace(settings, alignments=chosen)


def _force(translator: "Translator", settings: Settings, last: str, target: str) -> None:
    if not last or not target:
        note("type a sentence first, then /force and a translation of it")
        return
    translator.require_attention()
    forced = translator.force(last, target)
    if forced.candidates:
        candidate = forced.candidates[0]
        note(f"log-probability {candidate.log_probability:.3f}")
        _draw(candidate.alignment, pieces=settings.alignments == "pieces")


def _draw(alignment: object, *, pieces: bool) -> None:
    from cli.terminal.drawing import draw
    from seq2seq.evaluation.alignment import Alignment, merge_pieces
    from seq2seq.rendering.text import draw_alignment

    assert isinstance(alignment, Alignment)
    console = stdout_console()
    shown = alignment if pieces else merge_pieces(alignment)
    draw(draw_alignment(shown, width=console.width), console)


def _number(text: str, otherwise: int) -> int:
    try:
        return int(text)
    except ValueError:
        note(f"{text!r} is not a number")
        return otherwise


def _typed() -> Iterator[str]:
    """Lines from the line editor; from a pipe they are read as they are."""
    if not sys.stdin.isatty():
        from data.corpus import STDIN, read_lines

        yield from read_lines(STDIN)
        return
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import WordCompleter
    from prompt_toolkit.history import FileHistory, History, InMemoryHistory

    history: History
    try:
        history = FileHistory(_history_file())
    except OSError:
        history = InMemoryHistory()
    commands = [row.split()[0] for row in HELP.split("\n") if row.startswith("/")]
    completer = WordCompleter(commands[:-1], sentence=True)
    session: PromptSession[str] = PromptSession(
        history=history, completer=completer, complete_while_typing=False
    )
    while True:
        try:
            pasted = session.prompt("> ")
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        yield from pasted.replace("\r\n", "\n").split("\n")


def _history_file() -> str:
    """A file of the user's own, which nobody else may read."""
    from platformdirs import user_state_path

    path = user_state_path("seq2seq") / "history"
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_APPEND, 0o600))
    return str(path)
