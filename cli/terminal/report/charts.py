"""The charts of a report as Vega-Lite specifications: what is drawn, not yet how it is coloured."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cli.runs.report.content import CurvePoint, ReportContent

Row = Mapping[str, Any]

SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
DASHES = ([1, 0], [6, 3], [2, 2])
CHARACTER = 7  # pixels, of a legend's text
LEGEND_GAP = 48  # pixels, for the symbol of a system and the space before the next one
MANTISSAS = ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7), (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8))
"""Mantissas of the ticks of a logarithmic axis, from few in a decade to many."""
FEWEST_TICKS, MANY_DECADES = 4, 6  # of a logarithmic axis


@dataclass(frozen=True)
class Theme:
    """Colours: CSS values for a page, which follow its light or dark scheme, or fixed ones."""

    ink: str
    grid: str
    series: tuple[str, ...]
    background: str | None = None


PAGE_THEME = Theme("currentColor", "var(--grid)", tuple(f"var(--series-{i})" for i in range(6)))
FILE_THEME = Theme(
    "#1f2328",
    "#d9dee3",
    ("#0b62a4", "#c44601", "#00795a", "#a0448f", "#8a6d00", "#56606a"),
    "#ffffff",
)


@dataclass(frozen=True)
class Chart:
    """A chart of lines, one for each system."""

    name: str  # of its file
    title: str
    x_title: str
    y_title: str
    rows: Sequence[Row]  # x, y, system, and perhaps series, low and high
    order: Sequence[str] = field(default=())  # of the values of x, where they are labels
    is_logarithmic: bool = False  # whether y has a logarithmic axis

    @property
    def has_bands(self) -> bool:
        return any("low" in row for row in self.rows)

    @property
    def description(self) -> str:
        """The text of the chart for readers who cannot see it."""
        systems = ", ".join(dict.fromkeys(row["system"] for row in self.rows))
        return f"{self.title}: {self.y_title} by {self.x_title}, of {systems}"


def charts(content: ReportContent) -> Iterator[Chart]:
    """Every chart that the content has figures for."""
    yield from _curves(content)
    for metric, name in (("bleu", "BLEU"), ("chrf", "chrF")):
        rows = [
            {"x": each.label, "y": score.score, "low": score.low, "high": score.high,
             "system": figures.name}
            for figures in content.figures
            for each, score in zip(content.bins, figures.by_length[metric], strict=True)
        ]  # fmt: skip
        labels = [each.label for each in content.bins]
        yield Chart(
            f"{metric}-by-length", f"{name} by source length", "words of the source", name, rows,
            labels,
        )  # fmt: skip
    frequencies = sorted({(b.low, b.label) for f in content.figures for b in f.by_frequency})
    rows = [
        {"x": bucket.label, "y": 100 * bucket.f1, "system": figures.name}
        for figures in content.figures
        for bucket in figures.by_frequency
    ]
    yield Chart(
        "words-by-frequency",
        "Words by their frequency",
        f"occurrences in {content.frequencies}",
        "F1 of words",
        rows,
        [label for _, label in frequencies],
    )


def _curves(content: ReportContent) -> Iterator[Chart]:
    points = [
        (figures.name, output, point)
        for figures in content.figures
        for output, curve in figures.curves.items()
        for point in curve
    ]
    if not points:
        return
    timed = all(point.minutes is not None for _, _, point in points)
    across = "minutes of training" if timed else "updates"

    def chart(
        name: str, title: str, y_title: str, attribute: str, *, by_time: bool, log: bool = False
    ) -> Chart:
        rows = [
            {"x": _x(point, by_time and timed), "y": value, "system": system, "series": output}
            for system, output, point in points
            if (value := getattr(point, attribute)) is not None
        ]
        x_title = across if by_time else "updates"
        return Chart(name, title, x_title, y_title, rows, is_logarithmic=log)

    found = [
        chart("chrf-curve", "chrF of the validation", "chrF", "chrf", by_time=True),
        chart("bleu-curve", "BLEU of the validation", "BLEU", "bleu", by_time=True),
        chart("perplexity-curve", "Perplexity of the validation", "perplexity", "perplexity",
              by_time=False, log=True),
        chart("entropy-curve", "Entropy of attention", "nats", "entropy", by_time=False),
        chart("monotonicity-curve", "Attention from left to right", "share of steps",
              "monotonicity", by_time=False),
    ]  # fmt: skip
    yield from (each for each in found if each.rows)


def _x(point: CurvePoint, timed: bool) -> float:
    return point.minutes if timed and point.minutes is not None else float(point.update)


def specification(
    chart: Chart, systems: Sequence[str], theme: Theme, *, width: int, height: int
) -> dict[str, Any]:
    """A chart for Vega-Lite 5. Colours and shapes, and beyond six systems dashes, distinguish them.

    systems: all of the report, so that each looks the same in all charts
    """
    shown = [name for name in systems if any(row["system"] == name for row in chart.rows)]
    numbers = [systems.index(name) for name in shown]
    entry = CHARACTER * max(map(len, shown), default=0) + LEGEND_GAP
    columns = max(1, width // entry)
    legend = {"orient": "top", "columns": columns, "columnPadding": 24, "labelLimit": width - 40}
    colour = _scale("system", shown, [theme.series[i % len(theme.series)] for i in numbers], legend)
    dash = _scale("system", shown, [DASHES[i // len(SHAPES) % len(DASHES)] for i in numbers], None)
    shape = _scale(
        "system", shown, [SHAPES[(i + i // len(SHAPES)) % len(SHAPES)] for i in numbers], legend
    )
    x = {"field": "x", "title": chart.x_title, **_x_axis(chart)}
    y = {"type": "quantitative", "title": chart.y_title, **_y_axis(chart)}
    series = {"detail": {"field": "series"}} if any("series" in r for r in chart.rows) else {}
    line = {
        "mark": {"type": "line", "strokeWidth": 2},
        "encoding": {"x": x, "y": y | {"field": "y"}, "color": colour, "strokeDash": dash} | series,
    }
    points = {
        "mark": {"type": "point", "filled": True, "size": 36, "opacity": 1},
        "encoding": {"x": x, "y": y | {"field": "y"}, "color": colour, "shape": shape},
    }
    band = {
        "mark": {"type": "area", "opacity": max(0.05, 0.3 / max(1, len(shown)))},
        "encoding": {"x": x, "y": y | {"field": "low"}, "y2": {"field": "high"}, "color": colour},
    }
    layers = [band, line, points] if chart.has_bands else [line, points]
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.20.json",
        "description": chart.description,
        "width": width,
        "height": height,
        "autosize": {"type": "fit", "contains": "padding"},
        "data": {"values": [dict(row) for row in chart.rows]},
        "layer": layers,
        "config": _config(theme),
    }  # fmt: skip


def _x_axis(chart: Chart) -> dict[str, Any]:
    if not chart.order:
        return {"type": "quantitative"}
    return {
        "type": "ordinal",
        "sort": list(chart.order),
        "axis": {"labelAngle": 0},
        "scale": {"type": "point", "padding": 0.4},
    }


def _y_axis(chart: Chart) -> dict[str, Any]:
    if not chart.is_logarithmic:
        return {"scale": {"zero": False}}
    values = [row["y"] for row in chart.rows]
    low, high = min(values), max(values)
    if low == high:
        low, high = low / 1.1, high * 1.1
    ticks = logarithmic_ticks(low, high)
    return {
        "scale": {"type": "log", "domain": [low, high], "nice": False},
        "axis": {"values": ticks, "format": ",~f" if high < 1e6 else "~e"},
    }


def logarithmic_ticks(low: float, high: float) -> list[float]:
    """Round numbers from one positive number to a larger one, for a logarithmic axis."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = max(1, len(decades) // MANY_DECADES)
    for mantissas in MANTISSAS:
        ticks = [m * 10.0**decade for decade in decades[::every] for m in mantissas]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) >= FEWEST_TICKS:
            return ticks
    least = (high - low) / 7  # of the equal steps of a short range
    decade = 10.0 ** math.floor(math.log10(least))
    step = min(m * decade for m in (1, 2, 5, 10) if m * decade >= least)
    first, last = math.ceil(low / step), math.floor(high / step)
    return [float(f"{number * step:.12g}") for number in range(first, last + 1)]


def _scale(
    name: str, domain: Sequence[str], values: Sequence[Any], legend: dict[str, Any] | None
) -> Any:
    scale = {"domain": list(domain), "range": list(values)}
    return {"field": name, "type": "nominal", "title": None, "scale": scale, "legend": legend}


def _config(theme: Theme) -> dict[str, Any]:
    text = {"labelColor": theme.ink, "titleColor": theme.ink, "labelFontSize": 12}
    return {
        "background": theme.background,
        "font": "system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif",
        "view": {"stroke": None},
        "axis": text
        | {"gridColor": theme.grid, "domain": False, "ticks": False, "labelPadding": 6}
        | {"titleFontWeight": "normal", "titleFontSize": 12, "titlePadding": 8},
        "axisX": {"grid": False, "domain": True, "domainColor": theme.grid},
        "legend": text | {"symbolSize": 80, "symbolStrokeWidth": 2, "symbolOpacity": 1},
    }
