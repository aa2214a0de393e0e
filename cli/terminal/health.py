"""The report of `seq2seq check` on the health of a parallel corpus, as lines of text."""

import sys
from collections.abc import Iterator
from pathlib import Path

from rich.text import Text

from cli.terminal.console import note
from cli.terminal.screen import progress, stdout_console
from data.config import DataConfig
from data.health.examination import examine
from data.health.report import (
    CorpusHealth,
    Distribution,
    Example,
    Finding,
    Histogram,
    verdict,
)
from data.inputs import can_be_read_once, display_name, rereadable
from seq2seq.system.figures import bars
from seq2seq.system.shell import command
from seq2seq.system.visible import visible

NARROWEST = 40  # columns; a narrower terminal wraps the lines itself
WIDEST = 120
_HANGING_INDENT = 8  # columns before the continuation of a wrapped line
_NEXT = "  next: "  # begins a line that is never wrapped, because it is meant to be copied


def examine_with_progress(source: Path, target: Path, config: DataConfig) -> CorpusHealth:
    """Examine a corpus, either side of which may be a pipe, with a progress bar."""
    with rereadable(source, target, notify=note), progress() as bar:
        task = bar.add_task("reading", total=None)
        return examine(
            source,
            target,
            config,
            names=(display_name(source), display_name(target)),
            advance=lambda lines: bar.advance(task, lines),
        )


def print_health(health: CorpusHealth, source: Path, target: Path) -> None:
    """Print the report; source and target are the paths as they were given."""
    console = stdout_console()
    width = console.width
    with console.capture() as drawn:  # Rich would end the program where stdout's reader has left
        for line in _report(health, source, target, max(NARROWEST, min(width, WIDEST))):
            line.rstrip()
            fits = line.cell_len <= width or line.plain.startswith(_NEXT)
            if fits or not console.is_terminal:
                console.print(line, soft_wrap=True)
                continue
            first, *rest = line.wrap(console, max(width - _HANGING_INDENT, 10))
            console.print(first, soft_wrap=True)
            for part in rest:
                console.print(Text.assemble(" " * _HANGING_INDENT, part), soft_wrap=True)
    sys.stdout.write(drawn.get())


def _report(health: CorpusHealth, source: Path, target: Path, width: int) -> Iterator[Text]:
    yield Text(f"source  {visible(health.source.name)}")
    yield Text(f"target  {visible(health.target.name)}")
    if health.pairs:
        yield from _counts(health)
        yield from _lengths(health)
    if health.drops:
        yield from _cleaning(health, width)
    if health.findings:
        yield _heading("findings")
        for finding in health.findings:
            yield from _finding(finding, width)
    yield _heading("verdict")
    yield from _verdict(health)
    command = _command("check" if health.faults else "preprocess", source, target)
    yield Text(f"{_NEXT}{'repair it, then ' if health.faults else ''}{visible(command)}")


def _counts(health: CorpusHealth) -> Iterator[Text]:
    sides = (health.source, health.target)
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


def _lengths(health: CorpusHealth) -> Iterator[Text]:
    """Percentiles and histograms of words, characters and length ratios."""
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


def _column_heads(title: str, columns: tuple[str, ...]) -> Text:
    cells = "".join(f"{column:>8}" for column in columns)
    return Text.assemble("\n", (f"{title:<18}", "bold"), cells)


def _distribution_rows(
    rows: tuple[tuple[str, Distribution | None], ...], number_format: str
) -> Iterator[Text]:
    """A row for each (label, distribution), and the ends of the histograms' axis below them."""
    drawn: Histogram | None = None
    for label, distribution in rows:
        if distribution is None:
            yield Text(f"  {label:<16}  (no text)")
            continue
        drawn = distribution.histogram
        numbers = (
            distribution.percentile_5,
            distribution.median,
            distribution.percentile_95,
            distribution.greatest,
        )
        cells = "".join(f"{number_format.format(number):>8}" for number in numbers)
        yield Text(f"  {label:<16}{cells}   {bars(drawn.counts)}")
    if drawn:
        first = number_format.format(drawn.edges[0])
        last = number_format.format(drawn.edges[-1]) + "+"
        gap = " " * (len(drawn.edges) - len(first) - len(last))
        yield Text(" " * 53 + first + gap + last, style="dim")


def _cleaning(health: CorpusHealth, width: int) -> Iterator[Text]:
    dropped = sum(drop.count for drop in health.drops)
    yield _heading("cleaning", f"would drop {dropped:,} of {health.pairs:,} pairs")
    for drop in health.drops:
        yield Text(f"  {drop.count:>10,}  {drop.reason}")
        for example in drop.examples:
            yield from _example(example, width, indent=14)


def _finding(finding: Finding, width: int) -> Iterator[Text]:
    mark, style = {
        "fault": ("✗ fault:", "bold red"),
        "warning": ("! warning:", "yellow"),
        "note": ("· note:", "dim"),
    }[finding.severity]
    yield Text.assemble("  ", (mark, style), " ", visible(finding.message))
    if finding.advice:
        yield Text(f"      {visible(finding.advice)}")
    for example in finding.examples:
        yield from _example(example, width, indent=6)


def _example(example: Example, width: int, *, indent: int) -> Iterator[Text]:
    """The line's number, and its text on both sides unless both are blank."""
    remark = f"  {visible(example.remark)}" if example.remark else ""
    yield Text(f"{' ' * indent}line {example.line:,}{remark}", style="dim")
    texts = (example.source, example.target)
    if all(text is not None and not text.strip() for text in texts):
        return
    for label, text in zip(("source", "target"), texts, strict=True):
        if text is None:
            yield Text(f"{' ' * indent}  {label}  (no such line)", style="dim")
            continue
        body = Text(visible(text))
        body.truncate(max(16, width - indent - 10), overflow="ellipsis")
        yield Text.assemble(" " * indent, (f"  {label}  ", "dim"), body)


def _verdict(health: CorpusHealth) -> Iterator[Text]:
    """The verdict in one sentence, and the gravest findings where there are several."""
    mark, style = ("✗", "bold red") if health.faults else ("✓", "bold green")
    if health.warnings and not health.faults:
        mark, style = "!", "bold yellow"
    yield Text.assemble("  ", (mark, style), " ", visible(verdict(health)))
    listed = health.faults if len(health.faults) > 1 else health.warnings
    if len(health.faults) != 1:
        for number, finding in enumerate(listed[:3], start=1):
            yield Text(f"    {number}. {visible(finding.message)}")


def _heading(title: str, rest: str = "") -> Text:
    return Text.assemble("\n", (f"{title:<24}" if rest else title, "bold"), rest)


def _command(name: str, source: Path, target: Path) -> str:
    """The command to type next."""
    rest = " STORE --valid-source FILE --valid-target FILE" if name == "preprocess" else ""
    sides = [
        label if can_be_read_once(path) else path
        for label, path in (("SOURCE", source), ("TARGET", target))
    ]
    return command(name, *sides) + rest
