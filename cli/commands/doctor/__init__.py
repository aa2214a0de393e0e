"""`seq2seq doctor`: versions, machine, terminal and disk, as a block to paste into a bug report.

A section imports what may be missing inside its functions, so that it can report what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated

import typer

from cli.commands import options
from cli.commands.doctor.fact import DISTRIBUTION, Fact
from cli.terminal.console import write_json, write_line
from seq2seq.errors import ResourceError
from seq2seq.system.visible import visible


def doctor(
    as_json: options.JsonOutput = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print a block that GitHub and GitLab can fold.")
    ] = False,
) -> None:
    """Show versions, processor and disk, for a bug report.

    The exit code is 6 if something essential is broken, such as a missing dependency.
    """
    from cli.commands.doctor.sections import REPORT_SECTIONS

    sections = {name: collect(name, function) for name, function in REPORT_SECTIONS.items()}
    problems = [fact.problem for facts in sections.values() for fact in facts if fact.problem]
    if as_json:
        values = {
            name: {fact.key.replace(" ", "_"): fact.value for fact in facts}
            for name, facts in sections.items()
        }
        write_json({"schema_version": 1, "ok": not problems, "problems": problems, **values})
    else:
        _show(sections, markdown=markdown)
    if problems:
        broken = any(fact.problem for name in ("versions", "torch") for fact in sections[name])
        raise ResourceError(
            "; ".join(problems),
            hint=f"install it again: `pip install --upgrade {DISTRIBUTION}`"
            if broken
            else "change to a directory that exists",
        )


def _show(sections: dict[str, list[Fact]], *, markdown: bool) -> None:
    width = max(len(fact.key) for facts in sections.values() for fact in facts) + 1
    if markdown:
        for line in ("<details><summary>seq2seq doctor</summary>", "", "```text"):
            write_line(line)  # one at a time: on a terminal a line end within a line shows as ↵
    for index, (name, facts) in enumerate(sections.items()):
        if index:
            write_line("")
        write_line(f"[{name}]")
        for fact in facts:
            write_line(f"{fact.key + ':':<{width}} {visible(fact.text)}".rstrip())
    if markdown:
        for line in ("```", "", "</details>"):
            write_line(line)


def collect(name: str, section: Callable[[], Iterator[Fact]]) -> list[Fact]:
    """The facts of a section up to the first that raises, which becomes a fact "failed"."""
    found: list[Fact] = []
    try:
        for fact in section():
            found.append(fact)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        problem = f"{name}: {reason}" if name in ("versions", "torch") else ""
        found.append(Fact("failed", reason, reason, problem))
    return found
