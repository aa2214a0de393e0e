#!/usr/bin/env python
"""Screens of the prompt of `translate`, at 80 and 200 columns, as SVG: docs/prompt-*.svg.

python scripts/prompt_screens.py RUN SENTENCE REFERENCE

The program runs in tmux, which must be installed, and is typed at; each picture is of what tmux
shows at the end.
"""

import io
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT = Path(__file__).parents[1]
ROWS = 48
WAIT = 60.0  # seconds, at most, until the program has answered


class Screen:
    """A terminal of `columns` columns in which the prompt runs."""

    def __init__(self, run: Path, columns: int, folder: Path) -> None:
        tmux = shutil.which("tmux")
        if tmux is None:
            sys.exit("tmux is not installed")
        self._tmux = [tmux, "-u", "-S", str(folder / f"socket-{columns}"), "-f", "/dev/null"]
        program = Path(sys.executable).with_name("seq2seq")
        arguments = ("translate", str(run), "--no-history", "--threads", "1")
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TERM": "xterm-256color"}
        size = ("-x", str(columns), "-y", str(ROWS))
        self._call("new-session", "-d", *size, str(program), *arguments, environment=environment)
        self.until_asked()

    def type(self, *keys: str) -> None:
        """Type keys by their names in tmux, or texts."""
        self._call("send-keys", *keys)

    def until_asked(self) -> None:
        """Wait until nothing has changed for a second, below the prompt's mark."""
        deadline, before = time.monotonic() + WAIT, ""
        while time.monotonic() < deadline:
            time.sleep(1)
            shown = self._call("capture-pane", "-p")
            if shown == before and re.search(r"^>", shown, re.MULTILINE):
                return
            before = shown
        sys.exit(f"the prompt did not answer:\n{before}")

    def picture(self, columns: int) -> str:
        """An SVG picture of the text and colours that the terminal shows."""
        shown = self._call("capture-pane", "-p", "-e").rstrip("\n")
        console = Console(record=True, width=columns, file=io.StringIO(), force_terminal=True)
        console.print(Text.from_ansi(shown), soft_wrap=True)
        svg = console.export_svg(title="seq2seq translate", theme=MONOKAI)
        return self_contained(svg)

    def close(self) -> None:
        self._call("kill-server")

    def _call(self, *arguments: str, environment: dict[str, str] | None = None) -> str:
        done = subprocess.run(
            [*self._tmux, *arguments],
            check=True,
            capture_output=True,
            text=True,
            timeout=30,
            env=environment,
        )
        return done.stdout


def self_contained(svg: str) -> str:
    """A picture by Rich without fonts of another host, without what clips its lines and without
    the buttons of a window."""
    for pattern in (
        r"\s*@font-face \{.*?\}",
        r"\s*<!--.*?-->",
        r"\s*<defs>.*?</defs>",
        r"\s*<circle [^>]*/>",
        r' clip-path="[^"]*"',
    ):
        svg = re.sub(pattern, "", svg, flags=re.DOTALL)
    return svg


def main() -> None:
    run, sentence, reference = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        for columns in (80, 200):
            screen = Screen(Path(run), columns, Path(folder))
            try:
                type_session(screen, sentence, reference)
                path = ROOT / "docs" / f"prompt-{columns}.svg"
                path.write_text(screen.picture(columns), encoding="utf-8")
            finally:
                screen.close()


def type_session(screen: Screen, sentence: str, reference: str) -> None:
    """Type a sentence, some commands and the beginning of a translation into the line editor."""
    for line in (
        sentence,
        f"/score {reference}",
        "/tokens",
        "/n-best 3",
        "/attention on",
        sentence,
    ):
        screen.type("-l", line)
        screen.type("Enter")
        screen.until_asked()
    begin = " ".join(reference.split()[:2])
    screen.type("-l", f"/prefix {begin} ")
    screen.until_asked()
    screen.type("Tab")
    screen.until_asked()


if __name__ == "__main__":
    main()
