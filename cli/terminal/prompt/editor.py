"""The line editor: history, completion, keys, and the model's words as they are typed."""

import os
import re
from collections.abc import Iterable, Iterator

from platformdirs import user_state_path
from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app, run_in_terminal
from prompt_toolkit.auto_suggest import AutoSuggest, Suggestion, ThreadedAutoSuggest
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import create_output

from cli.terminal.console import note
from cli.terminal.prompt.commands import command_names, find_command
from cli.terminal.prompt.session import Session
from seq2seq.errors import UserError

PREFIX = "/prefix "


def typed_entries(session: Session, *, keep_history: bool = True) -> Iterator[list[str]]:
    """The input until Ctrl-D: one line each time, or several that were pasted at once."""
    suggester = _NextWords(session)
    editor: PromptSession[str] = PromptSession(
        output=create_output(always_prefer_tty=True),  # results alone go to a pipe
        history=_history() if keep_history else InMemoryHistory(),
        completer=_CommandCompleter(session),
        complete_while_typing=False,
        auto_suggest=ThreadedAutoSuggest(suggester),
        key_bindings=_keys(session, suggester),
    )
    while True:
        try:
            entered = _valid(editor.prompt("> "))
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        yield entered.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n").split("\n")


def _valid(entered: str) -> str:
    """Typed text, with a sign for each byte that is not UTF-8: prompt_toolkit has surrogates."""
    return entered.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


class _CommandCompleter(Completer):
    """Completes the names of commands and the values that they take."""

    def __init__(self, session: Session) -> None:
        self._session, self._paths = session, PathCompleter(expanduser=True)

    def get_completions(self, document: Document, event: CompleteEvent) -> Iterable[Completion]:
        text = document.text_before_cursor
        if not text.startswith("/"):
            return
        name, space, argument = text[1:].partition(" ")
        if not space:
            for each in command_names():
                if each.startswith(name):
                    yield Completion(each, start_position=-len(name))
            return
        command = find_command(name)
        if command is None:
            return
        for value in command.values(self._session):
            if value.startswith(argument) and value != argument:
                yield Completion(value, start_position=-len(argument))
        if command.takes_path:
            yield from self._paths.get_completions(Document(argument), event)


class _NextWords(AutoSuggest):
    """How the model would go on with the translation that is typed after /prefix."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._found = ("", "", "")  # source, what was typed, and how it goes on

    def get_suggestion(self, buffer: Buffer, document: Document) -> Suggestion | None:
        words = self.after(document.text)
        return Suggestion(words) if words else None

    def after(self, text: str) -> str:
        """The words after a text of the line editor; "" where there are none."""
        text = _valid(text)
        last, typed = self._session.last, text.removeprefix(PREFIX)
        if last is None or not text.startswith(PREFIX):
            return ""
        if self._found[:2] != (last.source, typed):
            try:
                words = self._session.continuation(typed)
            except UserError:
                words = ""
            self._found = (last.source, typed, words)
        return self._found[2]


def _keys(session: Session, suggester: _NextWords) -> KeyBindings:
    """Tab takes a word of the model after /prefix; F2 draws the attention."""
    keys = KeyBindings()

    @Condition
    def is_prefix() -> bool:
        return get_app().current_buffer.text.startswith(PREFIX)

    @keys.add("tab", filter=is_prefix)
    def _take_word(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.document.is_cursor_at_the_end:
            word = re.match(r"\s*\S+", suggester.after(buffer.text))
            buffer.insert_text(word[0] if word else "")

    @keys.add("f2")
    def _draw(event: KeyPressEvent) -> None:
        run_in_terminal(lambda: _draw_last(session))

    return keys


def _draw_last(session: Session) -> None:
    try:
        session.draw(session.require_last())
    except UserError as error:
        note(error.message)


def _history() -> History:
    """The lines typed earlier, kept in a file of the user's that nobody else may read."""
    path = user_state_path("seq2seq") / "history"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_APPEND, 0o600))
        path.chmod(0o600)
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(path))
