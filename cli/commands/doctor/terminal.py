"""The terminal: streams, size, colours, locale and widths of characters."""

from __future__ import annotations

import contextlib
import locale
import os
import sys
from collections.abc import Iterator

from cli.commands.doctor.fact import Fact

_WIDTH_SAMPLES = ("a", "中", "é", "e\u0301", "👍", "▁", "█")


def terminal() -> Iterator[Fact]:
    for name in ("stdin", "stdout", "stderr"):
        stream = getattr(sys, name)
        is_terminal = stream is not None and not stream.closed and stream.isatty()
        state = "closed" if stream is None else "terminal" if is_terminal else "not a terminal"
        yield Fact(name, state, state)
    size = _terminal_size()
    yield Fact("size", size, f"{size[0]} columns, {size[1]} lines" if size else "unknown")
    from cli.terminal.screen import stderr_console

    console = stderr_console()
    colours = console.color_system if console.is_terminal and not console.no_color else None
    yield Fact("colours", colours, colours or "none")
    for variable in ("TERM", "COLORTERM", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "TERM_PROGRAM"):
        value = os.environ.get(variable)
        if value is not None:
            yield Fact(variable, value, value)
    locales = [os.environ.get(name) for name in ("LC_ALL", "LC_CTYPE", "LANG")]
    chosen = next(filter(None, locales), "not set")
    yield Fact("locale", chosen, chosen)
    encoding = locale.getencoding()
    yield Fact("encoding", encoding, f"{encoding} (the locale's; seq2seq reads and writes UTF-8)")
    from wcwidth import wcswidth

    widths = {sample: wcswidth(sample) for sample in _WIDTH_SAMPLES}
    yield Fact("cells", widths, "  ".join(f"{sample} {cells}" for sample, cells in widths.items()))


def _terminal_size() -> list[int] | None:
    for descriptor in (1, 2, 0):
        with contextlib.suppress(OSError, ValueError):
            return list(os.get_terminal_size(descriptor))
    return None
