"""`seq2seq check`: is this corpus fit to train on, and where should a person look?"""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seq2seq.system.figures import bars

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.text import Text

    from data.health.report import CorpusHealth, Distribution, Example, Finding, Histogram

NARROWEST = 40  # columns; below this, lines are left to the terminal
WIDEST = 120
_HANGING = 8  # columns that a wrapped line goes on at
_NEXT = "  next: "  # never wrapped: it will be copied


def check(
    source: Annotated[
        Path, typer.Argument(help="One sentence a line; gzip is fine, - is standard input.")
    ],
    target: Annotated[Path, typer.Argument(help="Its translation, line by line.")],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")] = False,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="data.NAME=VALUE", help="Cleaning as `preprocess` will do."),
    ] = None,
) -> None:
    """Report on the health of a parallel corpus before any training.

    Counts, lengths, encoding faults, duplicates, sides that drift apart, and what cleaning would
    drop. Leaves with 3 when the corpus cannot be used as it is.
    """
    from cli.commands.preprocess import only_section
    from cli.runs.config import build_section, parse_settings
    from cli.terminal.console import progress, write_json
    from data.corpus import STDIN, rereadable
    from data.health.examination import examine
    from seq2seq.errors import ConfigError

    if source == target == STDIN:
        raise ConfigError(
            "source and target cannot both be standard input", hint="name a file for one of them"
        )
    config = build_section("data", only_section(parse_settings(set_ or []), "data"))
    names = tuple("standard input" if path == STDIN else str(path) for path in (source, target))
    with ExitStack() as stack:
        paths = [stack.enter_context(rereadable(path)) for path in (source, target)]
        bars = stack.enter_context(progress())
        task = bars.add_task("reading", total=None)
        health = examine(
            paths[0],
            paths[1],
            config,
            names=(names[0], names[1]),
            advance=lambda lines: bars.advance(task, lines),
        )
    if json:
        write_json(health.as_json())
    else:
        _print_report(health, source, target)
    if health.faults:
        raise typer.Exit(3)


def _print_report(health: "CorpusHealth", source: Path, target: Path) -> None:
    import os
    import sys

    from rich.text import Text

    from cli.terminal.console import stdout_console

    console = stdout_console()
    piped = not console.is_terminal
    width = 100 if piped and not os.environ.get("COLUMNS", "").isdigit() else console.width
    with console.capture() as drawn:  # rich itself would leave with 1 where a reader has left
        for line in _report(health, source, target, max(NARROWEST, min(width, WIDEST))):
            line.rstrip()
            if piped or line.cell_len <= width or line.plain.startswith(_NEXT):
                console.print(line, soft_wrap=True)
                continue
            first, *rest = line.wrap(console, max(width - _HANGING, 10))
            console.print(first, soft_wrap=True)
            for part in rest:
                console.print(Text.assemble(" " * _HANGING, part), soft_wrap=True)
    sys.stdout.write(drawn.get())


def _report(health: "CorpusHealth", source: Path, target: Path, width: int) -> "Iterator[Text]":
    from rich.text import Text

    from data.health.report import verdict

    yield from _figures(health)
    yield from _lengths(health)
    if health.drops:
        yield from _cleaning(health, width)
    if health.findings:
        yield _heading("findings")
        for finding in health.findings:
            yield from _finding(finding, width)
    yield _heading("verdict")
    mark, style = ("✗", "bold red") if health.faults else ("✓", "bold green")
    if health.warnings and not health.faults:
        mark, style = "!", "bold yellow"
    yield Text.assemble("  ", (mark, style), " ", _shown(verdict(health)))
    listed = health.faults if len(health.faults) > 1 else health.warnings
    if len(health.faults) != 1:
        for number, finding in enumerate(listed[:3], start=1):
            yield Text(f"    {number}. {_shown(finding.message)}")
    command = _command("check" if health.faults else "preprocess", source, target)
    yield Text(f"{_NEXT}{'mend it, then ' if health.faults else ''}{_shown(command)}")


def _figures(health: "CorpusHealth") -> "Iterator[Text]":
    from rich.text import Text

    sides = (health.source, health.target)
    yield Text(f"source  {_shown(sides[0].name)}")
    yield Text(f"target  {_shown(sides[1].name)}")
    yield _heading("counts", "    source      target")
    yield Text(f"  {'lines':<22}{sides[0].lines:>10,}  {sides[1].lines:>10,}")
    yield Text(f"  {'blank lines':<22}{sides[0].blank:>10,}  {sides[1].blank:>10,}")
    for label, count in (
        ("pairs", health.pairs),
        ("blank on both sides", health.blank_pairs),
        ("repeated pairs", health.duplicate_pairs),
        ("sources, many targets", health.ambiguous_sources),
        ("source = target", health.identical_pairs),
        ("usable pairs", health.usable),
    ):
        yield Text(f"  {label:<22}{count:>10,}")


def _lengths(health: "CorpusHealth") -> "Iterator[Text]":
    source, target = health.source, health.target
    columns = ("5 %", "median", "95 %", "longest")
    for title, left, right in (
        ("words a line", source.words, target.words),
        ("characters a line", source.characters, target.characters),
    ):
        if left or right:
            yield _column_heads(title, columns)
            yield from _distribution_rows((("source", left), ("target", right)), "{:,.0f}")
    if health.ratio:
        yield _column_heads("length ratio", (*columns[:3], "highest"))
        yield from _distribution_rows((("target / source", health.ratio),), "{:,.2f}")


def _column_heads(title: str, columns: tuple[str, ...]) -> "Text":
    from rich.text import Text

    cells = "".join(f"{column:>8}" for column in columns)
    return Text.assemble("\n", (f"{title:<18}", "bold"), cells)


def _distribution_rows(
    rows: "tuple[tuple[str, Distribution | None], ...]", form: str
) -> "Iterator[Text]":
    from rich.text import Text

    drawn: Histogram | None = None
    for label, found in rows:
        if found is None:
            yield Text(f"  {label:<16}  (no text)")
            continue
        drawn = found.histogram
        figures = (found.percentile_5, found.median, found.percentile_95, found.greatest)
        cells = "".join(f"{form.format(figure):>8}" for figure in figures)
        yield Text(f"  {label:<16}{cells}   {bars(drawn.counts)}")
    if drawn:
        first = form.format(drawn.edges[0])
        last = form.format(drawn.edges[-1]) + "+"
        gap = " " * (len(drawn.edges) - len(first) - len(last))
        yield Text(" " * 53 + first + gap + last, style="dim")


def _cleaning(health: "CorpusHealth", width: int) -> "Iterator[Text]":
    from rich.text import Text

    dropped = sum(drop.count for drop in health.drops)
    yield _heading("cleaning", f"would drop {dropped:,} of {health.pairs:,} pairs")
    for drop in health.drops:
        yield Text(f"  {drop.count:>10,}  {drop.reason}")
        for example in drop.examples:
            yield from _example(example, width, indent=14)


def _finding(finding: "Finding", width: int) -> "Iterator[Text]":
    from rich.text import Text

    mark, style = {
        "fault": ("✗ fault:", "bold red"),
        "warning": ("! look at:", "yellow"),
        "note": ("· note:", "dim"),
    }[finding.severity]
    yield Text.assemble("  ", (mark, style), " ", _shown(finding.message))
    if finding.advice:
        yield Text(f"      {_shown(finding.advice)}")
    for example in finding.examples:
        yield from _example(example, width, indent=6)


def _example(example: "Example", width: int, *, indent: int) -> "Iterator[Text]":
    from rich.text import Text

    remark = f"  {_shown(example.remark)}" if example.remark else ""
    yield Text(f"{' ' * indent}line {example.line:,}{remark}", style="dim")
    texts = (example.source, example.target)
    if all(text is not None and not text.strip() for text in texts):
        return  # nothing to see on either side
    for label, text in zip(("source", "target"), texts, strict=True):
        if text is None:
            yield Text(f"{' ' * indent}  {label}  (no such line)", style="dim")
            continue
        body = Text(_shown(text))
        body.truncate(max(16, width - indent - 10), overflow="ellipsis")
        yield Text.assemble(" " * indent, (f"  {label}  ", "dim"), body)


def _heading(title: str, rest: str = "") -> "Text":
    from rich.text import Text

    return Text.assemble("\n", (f"{title:<24}" if rest else title, "bold"), rest)


def _command(name: str, source: Path, target: Path) -> str:
    import shlex

    rest = " STORE --valid-source FILE --valid-target FILE" if name == "preprocess" else ""
    return f"seq2seq {name} {shlex.quote(str(source))} {shlex.quote(str(target))}{rest}"


def _shown(text: str) -> str:
    from seq2seq.system.visible import visible

    return visible(text)
