"""Sentences are translated and commands obeyed, from the line editor or from a pipe."""

import sys
from collections.abc import Iterator

from cli.runs.introduction import introduction
from cli.runs.translator import Translator
from cli.terminal.console import note
from cli.terminal.prompt.commands import obey
from cli.terminal.prompt.session import Session
from data.corpus import read_lines
from data.inputs import STDIN
from seq2seq.errors import UserError


def converse(
    translator: Translator, *, n_best: int = 1, alignments: bool = False, keep_history: bool = True
) -> None:
    """Translate typed sentences and obey typed commands until the end of input.

    keep_history: whether the lines typed are there again the next time
    """
    session = Session(translator, n_best, "on" if alignments else "off")
    if translator.origin is not None:
        note(introduction(translator))
    note("type a sentence, or /help; Ctrl-D leaves")
    for lines in _entries(session, keep_history=keep_history):
        try:
            for line in lines:
                if len(lines) == 1 and _is_command(line):
                    name, _, argument = line[1:].partition(" ")
                    if name in ("quit", "exit"):
                        return
                    obey(session, name, argument if name == "prefix" else argument.strip())
                elif line.strip():
                    session.translate(line.removeprefix("/") if len(lines) == 1 else line)
        except UserError as error:
            note(f"{error.message}" + (f" ({error.hint})" if error.hint else ""))
        except KeyboardInterrupt:
            if not sys.stdin.isatty():
                raise
            note("interrupted; /quit or Ctrl-D leaves")
        sys.stdout.flush()


def _is_command(line: str) -> bool:
    return line.startswith("/") and not line.startswith("//")


def _entries(session: Session, *, keep_history: bool) -> Iterator[list[str]]:
    """Lines from the line editor on a terminal, one or several at once; else standard input's."""
    if sys.stdin.isatty():
        from cli.terminal.prompt.editor import typed_entries

        yield from typed_entries(session, keep_history=keep_history)
    else:
        yield from ([line] for line in read_lines(STDIN))
