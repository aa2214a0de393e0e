"""A report as one HTML file, without script or network: light, dark, printed, narrow."""

from collections.abc import Iterator, Sequence
from datetime import date
from html import escape
from importlib import resources

from cli.runs.report.content import AlignedSentence, DifferingSentence, ReportContent
from cli.terminal.report.charts import Chart, charts
from cli.terminal.report.pictures import NARROW, WIDE, page_svg
from cli.terminal.report.tables import (
    ReportTable,
    fact_table,
    fault_table,
    frequency_table,
    length_table,
    score_table,
    setting_table,
)
from seq2seq.evaluation.alignment import display_labels
from seq2seq.evaluation.words import word_changes
from seq2seq.rendering.panels import Panel, Sentence
from seq2seq.rendering.svg import svg

_CURVES = ("chrf-curve", "bleu-curve", "perplexity-curve")
_ATTENTION = ("entropy-curve", "monotonicity-curve")
_LENGTH = ("bleu-by-length", "chrf-by-length")


def html_page(content: ReportContent) -> str:
    """The whole document."""
    systems = [figures.name for figures in content.figures]
    drawn = {chart.name: chart for chart in charts(content)}
    title = " and ".join(systems) if len(systems) < 3 else f"{len(systems)} systems"
    sections = [section for section in _sections(content, drawn, systems) if section[2]]
    links = "".join(f'<li><a href="#{anchor}">{name}</a></li>' for anchor, name, _ in sections)
    body = "\n".join(
        f'<section id="{anchor}"><h2>{name}</h2>\n{inner}\n</section>'
        for anchor, name, inner in sections
    )
    style = (resources.files("cli.terminal.report") / "page.css").read_text(encoding="utf-8")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}: a report</title>
<style>
{style}</style>
</head>
<body>
<header>
<h1>{escape(title)}</h1>
<p>{escape(_subtitle(content))}</p>
<nav aria-label="Sections"><ul>{links}</ul></nav>
</header>
<main>
{body}
</main>
</body>
</html>
"""


def _subtitle(content: ReportContent) -> str:
    source, target = content.subject.languages
    pair = f"{source} to {target}, " if source and target else ""
    count = len(content.subject.sources)
    return f"{pair}{count:,} sentences of {content.subject.test}; {date.today().isoformat()}"


def _sections(
    content: ReportContent, drawn: dict[str, Chart], systems: Sequence[str]
) -> Iterator[tuple[str, str, str]]:
    """Anchor, heading and HTML of each section; empty HTML where there is nothing to show."""

    def pictures(names: Sequence[str]) -> str:
        figures = "\n".join(_figure(drawn[name], systems) for name in names if name in drawn)
        return f'<div class="pictures">{figures}</div>' if figures else ""

    yield "scores", "Scores", _table(score_table(content))
    yield "curves", "Learning curves", pictures(_CURVES)
    tables = _folded(length_table(content, "bleu")) + _folded(length_table(content, "chrf"))
    yield "length", "By source length", pictures(_LENGTH) + tables
    yield "attention", "Attention over training", pictures(_ATTENTION)
    yield "alignments", "Alignments", "\n".join(map(_aligned, content.aligned))
    yield "differences", "Sentences that differ most", _differences(content)
    words = pictures(["words-by-frequency"]) + _folded(frequency_table(content))
    yield "words", "Words", words + _table(fault_table(content))
    yield (
        "settings",
        "Settings that differ",
        _table(setting_table(content)) * bool(content.settings),
    )
    yield "facts", "How it was made", _table(fact_table(content))


def _figure(chart: Chart, systems: Sequence[str]) -> str:
    """The chart for wide and for narrow screens, of which the style sheet shows one."""
    caption = f"<figcaption>{escape(chart.title)}</figcaption>"
    wide, narrow = (page_svg(chart, systems, width=width) for width in (WIDE, NARROW))
    label = escape(chart.description, quote=True)
    return (
        f'<figure>{caption}<div class="wide" role="img" aria-label="{label}">{wide}</div>'
        f'<div class="narrow" role="img" aria-label="{label}">{narrow}</div></figure>'
    )


def _table(table: ReportTable) -> str:
    """A table that scrolls by itself where it is too wide, also by the keyboard."""
    head = "".join(
        f'<th scope="col"{_alignment_of(column) if index else ""}>{escape(cell)}</th>'
        for index, (cell, *column) in enumerate(zip(table.head, *table.rows, strict=True))
    )
    head = f"<thead><tr>{head}</tr></thead>" if any(table.head) else ""
    rows = "\n".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(_cell(cell) for cell in row[1:])
        + "</tr>"
        for row in table.rows
    )
    notes = "".join(f"<li>{escape(note)}</li>" for note in table.notes)
    label = escape(table.title, quote=True)
    return (
        f'<div class="table" tabindex="0" role="region" aria-label="{label}"><table>'
        f"{head}\n<tbody>{rows}</tbody></table></div>"
        + (f'<ul class="notes">{notes}</ul>' if notes else "")
    )


def _cell(text: str) -> str:
    return f"<td{_alignment_of([text]) or ' dir=auto'}>{escape(text)}</td>"


def _alignment_of(cells: Sequence[str]) -> str:
    """An attribute that aligns a column of figures to the right."""
    figures = all(cell[:1].isdigit() or cell[:1] in "+-−" for cell in cells if cell)
    return ' class="number"' if figures and max(map(len, cells), default=0) < 24 else ""


def _folded(table: ReportTable) -> str:
    return f"<details><summary>{escape(table.title)}, as a table</summary>{_table(table)}</details>"


def _differences(content: ReportContent) -> str:
    if not content.differing or content.compared is None:
        return ""
    return "\n".join(_difference(each, content.compared) for each in content.differing)


def _difference(each: DifferingSentence, names: tuple[str, str]) -> str:
    texts = ((names[0], each.first, each.chrf[0]), (names[1], each.second, each.chrf[1]))
    outputs = "".join(
        f"<dt>{escape(name)} <small>chrF {chrf:.0f}</small></dt>"
        f'<dd dir="auto">{_changes(each.reference, text)}</dd>'
        for name, text, chrf in texts
    )
    return (
        f'<article class="sentence"><h3>Line {each.line:,}</h3><dl>'
        f'<dt>source</dt><dd dir="auto">{escape(each.source)}</dd>'
        f'<dt>reference</dt><dd dir="auto">{escape(each.reference)}</dd>{outputs}</dl></article>'
    )


def _changes(reference: str, hypothesis: str) -> str:
    """The hypothesis with words that it adds, and those of the reference that it lacks."""
    tags = {"same": "{}", "missing": "<del>{}</del>", "added": "<ins>{}</ins>"}
    changes = word_changes(reference, hypothesis)
    return " ".join(tags[change].format(escape(text)) for change, text in changes)


def _aligned(each: AlignedSentence) -> str:
    """The attention of each system, by the pictures of `align --format svg`."""
    maps = "".join(_weights(each, name) for name in each.alignments)
    return (
        f'<article class="sentence"><h3>Line {each.line:,}</h3><dl>'
        f'<dt>source</dt><dd dir="auto">{escape(each.source)}</dd>'
        f'<dt>reference</dt><dd dir="auto">{escape(each.reference)}</dd></dl>'
        f'<div class="maps">{maps}</div></article>'
    )


def _weights(each: AlignedSentence, name: str) -> str:
    panel = Panel(name, each.alignments[name])
    target = " ".join(display_labels(panel.alignment.target))
    picture = svg([Sentence(each.line, each.source, ((target, panel),))])
    label = escape(f"attention of {name}", quote=True)
    return f'<div class="table" tabindex="0" role="region" aria-label="{label}">{picture}</div>'
