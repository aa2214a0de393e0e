"""The table of a comparison: for the terminal, JSON, CSV, Markdown and LaTeX."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from cli.runs.comparison.folder import ComparisonFolder
from cli.runs.comparison.table import ComparisonTable, Spread, SystemRow, compare_systems
from cli.runs.progress import clock_time
from cli.terminal.console import note, write_json, write_line
from seq2seq.evaluation.quality import random_seed
from seq2seq.evaluation.significance import (
    SAMPLES,
    TEST_NAMES,
    TESTS,
)
from seq2seq.rendering.labels import cell_width
from seq2seq.system.figures import counted, gibibytes

Format = Literal["text", "csv", "markdown", "latex"]
Cells = Sequence[str]


def print_comparison(
    path: Path,
    *,
    form: Format,
    as_json: bool,
    sort: str | None,
    baseline: str | None,
    to_bleu: float | None,
    significance: bool,
) -> None:
    """The table of a comparison on stdout."""
    table = compare_systems(
        ComparisonFolder.open(path),
        baseline=baseline,
        sort=sort,
        to_bleu=to_bleu,
        significance=significance,
        note=note,
    )
    if as_json:
        write_json(table_json(table))
        return
    for line in table_lines(table, form):
        write_line(line)


class Column(NamedTuple):
    """A column of figures."""

    measure: str  # its name in `SystemRow.measures`, CSV and JSON
    title: str
    write: Callable[[float], str]
    spread: bool = True  # whether the deviation is of interest


def table_columns(table: ComparisonTable) -> list[Column]:
    """The columns for people: those of which at least one system has a figure."""
    target = f"{table.target_bleu:g}" if table.target_bleu is not None else ""
    columns = [
        Column("perplexity", "perplexity", _two),
        Column("bleu", "BLEU", _one),
        Column("chrf", "chrF", _one),
        Column("ter", "TER", _one),
        Column("aer", "AER", lambda value: f"{value:.3f}"),
        Column("parameters", "parameters", lambda v: f"{v / 1e6:.2f} M", spread=False),
        Column("updates", "updates", lambda v: f"{v:,.0f}", spread=False),
        Column("tokens_per_second", "tokens/s", lambda v: f"{v:,.0f}", spread=False),
        Column("seconds_to_bleu", f"to BLEU {target}", clock_time, spread=False),
        Column("memory", "memory", lambda v: gibibytes(int(v)), spread=False),
    ]
    return [c for c in columns if any(c.measure in row.measures for row in table.rows)]


def table_lines(table: ComparisonTable, form: Format) -> Iterator[str]:
    """The lines of a table for people, or of a file."""
    if form == "csv":
        yield from _csv_lines(table)
        return
    render = {"text": _text_lines, "markdown": _markdown_lines, "latex": _latex_lines}[form]
    columns = table_columns(table)
    head = ["system", "seeds", *(column.title for column in columns)]
    yield from render(head, [_cells(row, columns) for row in table.rows])
    if tested := [row for row in table.rows if row.tests]:
        yield ""
        yield from render(*_test_cells(table, tested))
    comment = {"text": "", "markdown": "", "latex": "% "}[form]
    bullet = {"text": "", "markdown": "* ", "latex": "% "}[form]
    yield comment.strip()
    for line in note_lines(table):
        yield f"{bullet}{line}"


def note_lines(table: ComparisonTable) -> Iterator[str]:
    """Notes below a table: test sets, tests and signatures, then failed and missing trials."""
    comparison = table.folder.comparison
    tests = ", ".join(
        f"{store.test} ({counted(store.sentences, 'sentence')})"
        for store in comparison.stores.values()
    )
    yield f"test set: {tests}; the best checkpoint of each trial by validation"
    if len(comparison.seeds) > 1:
        yield "mean ± standard deviation over seeds"
    if table.target_bleu is not None:
        yield (
            f"to BLEU {table.target_bleu:g}: training until a validation reached it; the mean of "
            "the seeds that did"
        )
    if any(row.tests for row in table.rows):
        yield from _describe_tests(table)
    yield from table.signatures
    for row in table.rows:
        for failure in row.failures:
            yield f"{row.system.name}, {failure}"
    for unfit in comparison.left_out:
        yield f"left out: {unfit.name}: {unfit.reason}"
    if table.pending:
        yield f"not finished: {counted(table.pending, 'trial')} without a result"


def table_json(table: ComparisonTable) -> dict[str, Any]:
    """The table as JSON values: figures that are not rounded, also those of each seed."""
    return {
        "schema_version": 1,
        "comparison": table.folder.comparison.model_dump(mode="json"),
        "target_bleu": table.target_bleu,
        "pending": table.pending,
        "systems": [
            {
                "system": row.system.name,
                "store": row.system.store,
                "baseline": row.is_baseline,
                "failures": list(row.failures),
                "measures": {
                    name: {"mean": s.mean, "deviation": s.deviation, "values": list(s.values)}
                    for name, s in row.measures.items()
                },
                "tests": [
                    {
                        "test": tested.test,
                        "name": TEST_NAMES[tested.test],
                        "seeds": list(tested.seeds),
                        "scores": [s._asdict() | {"p": s.p_value} for s in tested.scores],
                    }
                    for tested in row.tests
                ],
                "trials": {
                    trial.name: result.model_dump(mode="json")
                    for trial, result in row.results.items()
                },
            }
            for row in table.rows
        ],
    }


def _cells(row: SystemRow, columns: Sequence[Column]) -> list[str]:
    done = len(row.results)
    seeds = str(done) if done == row.planned else f"{done} of {row.planned}"
    return [
        row.system.name,
        seeds,
        *(_figure(row.measures.get(column.measure), column) for column in columns),
    ]


def _figure(spread: Spread | None, column: Column) -> str:
    if spread is None:
        return ""
    text = column.write(spread.mean)
    if column.spread and spread.deviation is not None:
        text += f" ± {column.write(spread.deviation)}"
    return text


def _test_cells(table: ComparisonTable, rows: Sequence[SystemRow]) -> tuple[list[str], list[Cells]]:
    """A row for each system: the difference in each metric, and the p-value of each test."""
    metrics = [score.metric for score in rows[0].tests[0].scores]
    short = {"bootstrap": "p (bs)", "randomisation": "p (ar)"}
    names = [tested.test for tested in rows[0].tests]
    baselines = ", ".join(row.system.name for row in table.rows if row.is_baseline)
    head = [f"against {baselines}"]
    for metric in metrics:
        head += [metric, *(short[name] for name in names)]
    cells: list[Cells] = []
    for row in rows:
        line = [row.system.name]
        for index in range(len(metrics)):
            first = row.tests[0].scores[index]
            line.append(f"{first.system - first.baseline:+.2f}")
            line += [four_digits(tested.scores[index].p_value) for tested in row.tests]
        cells.append(line)
    return head, cells


def _describe_tests(table: ComparisonTable) -> Iterator[str]:
    rows = [row for row in table.rows if row.tests]
    several = any(len(tested.seeds) > 1 for row in rows for tested in row.tests)
    joined = (
        ", on the translations of all seeds joined, seed by seed beside the baseline's "
        "(Clark et al., 2011)"
        if several
        else ""
    )
    for test in TESTS:
        short = "bs" if test == "bootstrap" else "ar"
        yield (
            f"p ({short}): {TEST_NAMES[test]}{joined}; two-sided, {SAMPLES[test]:,} samples, seed "
            f"{random_seed()}, by sacreBLEU"
        )


def text_table(table: Sequence[Cells]) -> Iterator[str]:
    """Lines of columns: the first one aligned to the left, the others to the right."""
    widths = [max(map(cell_width, column)) for column in zip(*table, strict=True)]
    for line in table:
        cells = [
            cell + " " * (width - cell_width(cell)) if i == 0 else _right(cell, width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def _text_lines(head: Cells, rows: Sequence[Cells]) -> Iterator[str]:
    yield from text_table([head, *rows])


def _right(cell: str, width: int) -> str:
    return " " * (width - cell_width(cell)) + cell


def _markdown_lines(head: Cells, rows: Sequence[Cells]) -> Iterator[str]:
    yield _markdown_row(head)
    yield "| --- |" + " ---: |" * (len(head) - 1)
    yield from map(_markdown_row, rows)


def _markdown_row(cells: Cells) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$",
}  # fmt: skip


def _latex_lines(head: Cells, rows: Sequence[Cells]) -> Iterator[str]:
    """A table for the package booktabs."""
    yield rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}"
    yield r"\toprule"
    yield _latex_row(head)
    yield r"\midrule"
    yield from map(_latex_row, rows)
    yield r"\bottomrule"
    yield r"\end{tabular}"


def _latex_row(cells: Cells) -> str:
    escaped = ("".join(_LATEX.get(c, c) for c in cell) for cell in cells)
    return " & ".join(escaped) + r" \\"


def _csv_lines(table: ComparisonTable) -> Iterator[str]:
    """One line a system, with figures that are not rounded."""
    measures = list(dict.fromkeys(name for row in table.rows for name in row.measures))
    tested = next((row.tests for row in table.rows if row.tests), ())
    tests = [(t.test, score.metric) for t in tested for score in t.scores]
    head = ["system", "store", "seeds"]
    for name in measures:
        head += [name, f"{name}_deviation"]
    head += [f"{metric}_p_{test}" for test, metric in tests]
    yield _csv_row(head)
    for row in table.rows:
        cells: list[object] = [row.system.name, row.system.store, len(row.results)]
        for name in measures:
            spread = row.measures.get(name)
            cells += [spread.mean, spread.deviation] if spread else [None, None]
        values = {(t.test, s.metric): s.p_value for t in row.tests for s in t.scores}
        yield _csv_row([*cells, *(values.get(test) for test in tests)])


def _csv_row(cells: Sequence[object]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="").writerow(["" if c is None else c for c in cells])
    return stream.getvalue()


def _one(value: float) -> str:
    return f"{value:.1f}"


def _two(value: float) -> str:
    return f"{value:.2f}" if value < 1e5 else f"{value:.1e}"


def four_digits(p: float | None) -> str:
    """A p-value; blank for equal scores."""
    return "" if p is None else f"{p:.4f}"
