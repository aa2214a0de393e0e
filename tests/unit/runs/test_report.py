"""`seq2seq report` and `compare-outputs`: content, page, pictures, text."""

import html.parser
import re
import sys
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
from noisy_texts import noisy_texts
from program import call
from reruns import new_run, train

from cli.runs.report.content import ReportContent, collect
from cli.runs.report.systems import subject_of_files, subject_of_runs
from cli.runs.translator import Translator
from cli.terminal.report.charts import FILE_THEME, charts, logarithmic_ticks, specification
from cli.terminal.report.page import html_page
from cli.terminal.report.text import report_lines
from data.inputs import short_names
from data.token_store import TokenStore
from seq2seq.errors import ConfigError
from seq2seq.system.files import read_json, write_json

pytestmark = pytest.mark.usefixtures("few_samples")
STYLE = Path("cli/terminal/report/page.css").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list[Path]:
    """Source, reference and two translations, one of them with mark-up in it."""
    folder = tmp_path_factory.mktemp("texts")
    references, many, fewer = noisy_texts()
    fewer[3] = "<script>alert(1)</script> & more"
    texts = {"source": references, "reference": references, "many": many, "fewer": fewer}
    for name, lines in texts.items():
        (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return [folder / name for name in texts]


@pytest.fixture(scope="module")
def of_files(files) -> ReportContent:
    source, reference, *hypotheses = files
    subject = subject_of_files(source, reference, hypotheses, names=None, languages=(None, None))
    return collect(subject, bounds=[8], note=lambda line: None)


@pytest.fixture(scope="module")
def of_runs(tmp_path_factory, store_path) -> ReportContent:
    """A run with attention and one without, on the validation set of their store."""
    store, folder = TokenStore.open(store_path), tmp_path_factory.mktemp("runs")
    paths = []
    for attention in ("none", "luong"):
        run = new_run(
            folder / attention, store, model={"attention": attention}, training={"metric": "chrf"}
        )
        train(run, store)
        paths.append(run.path)
    provenance = read_json(paths[0] / "provenance.json") | {"machine": "another machine"}
    write_json(paths[0] / "provenance.json", provenance)
    subject = subject_of_runs(paths, test=None, device="cpu", threads=None, note=lambda line: None)
    return collect(subject, note=lambda line: None)


@pytest.fixture(scope="module")
def page_of_files(of_files) -> str:
    return html_page(of_files)


@pytest.fixture(scope="module")
def page_of_runs(of_runs) -> str:
    return html_page(of_runs)


class Outline(html.parser.HTMLParser):
    """Checks that elements are closed in their order, and collects what a page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.references: list[str] = []
        self.identifiers: set[str] = set()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append((tag, values))
        self.references += [v for n in ("src", "href", "xlink:href") if (v := values.get(n))]
        self.identifiers |= {v for n, v in attrs if n == "id" and v}
        if tag not in ("meta", "br", "img", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def outline_of(page: str) -> Outline:
    outline = Outline()
    outline.feed(page)
    assert outline.open == []
    return outline


# Content


def test_files_are_compared_as_sacrebleu_does(of_files):
    first, second = of_files.figures
    assert [figures.name for figures in of_files.figures] == ["many", "fewer"]
    assert not first.tests and {*second.tests} == {"bootstrap", "randomisation"}
    assert second.mean("bleu") == pytest.approx(second.tests["bootstrap"][0].system)
    assert [each.label for each in of_files.bins] == ["5–7", "8+"]
    assert of_files.frequencies == "the references"


def test_the_sentences_that_differ_most_are_better_in_either_system(of_files):
    gains = [each.chrf[1] - each.chrf[0] for each in of_files.differing]
    assert max(gains) == gains[0] > 0 > min(gains)
    assert 4 in [each.line for each in of_files.differing]  # the one that was replaced


def test_runs_have_curves_alignments_and_settings_that_differ(of_runs):
    none, luong = of_runs.figures
    (curve,) = luong.curves.values()
    assert [point.update for point in curve] == [6, 12, 18, 20]
    assert all(point.minutes and point.entropy is not None for point in curve)
    assert all(point.entropy is None for point in next(iter(none.curves.values())))
    assert len(of_runs.aligned) == 3
    assert all([*each.alignments] == [luong.name] for each in of_runs.aligned)
    assert of_runs.settings == {"model.attention": ["none", "luong"]}
    assert of_runs.frequencies == "the training text" and "versions" in of_runs.facts
    assert of_runs.facts["machine"].startswith("another machine; ")


def test_alignments_are_made_on_the_device_that_was_chosen(of_runs):
    alone = replace(of_runs.subject, systems=of_runs.subject.systems[1:])
    chosen = {"device": "cpu", "threads": 1}
    with mock.patch.object(Translator, "load", wraps=Translator.load) as load:
        collect(alone, note=lambda line: None, **chosen)
    assert load.call_args.kwargs == chosen


def test_a_run_is_given_once(of_runs):
    (path,) = (run.path for run in of_runs.subject.systems[0].runs)
    with pytest.raises(ConfigError, match="a run is given twice"):
        subject_of_runs([path, path], test=None, device="cpu", threads=1, note=print)


def test_a_system_that_is_not_there_is_refused_before_anything_is_translated(of_runs):
    (path,) = (run.path for run in of_runs.subject.systems[0].runs)
    options = {"test": None, "device": "cpu", "threads": 1, "note": print}
    with (
        mock.patch.object(Translator, "load", side_effect=AssertionError),
        pytest.raises(ConfigError, match="there is no system 'other' beside") as caught,
    ):
        subject_of_runs([path], against="other", **options)
    assert caught.value.hint == "leave out --against, or report several systems"


def test_a_system_that_is_not_there_cannot_be_shown(files):
    source, reference, *hypotheses = files
    subject = subject_of_files(source, reference, hypotheses, names=None, languages=(None, None))
    with pytest.raises(ConfigError, match="there is no system 'other' beside many"):
        collect(subject, against="other", note=lambda line: None)


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a/x", "b/y"], ["x", "y"]),
        (["a/run", "b/run"], ["a/run", "b/run"]),
        (["/t/a/run", "/t/b/run", "/t/b/more"], ["a/run", "b/run", "b/more"]),
        (["x", "x"], ["x", "x"]),
        (["-"], ["standard input"]),
        ([".", "a/x"], [Path.cwd().name, "x"]),
    ],
)
def test_a_system_is_named_by_the_end_of_its_path(paths, names):
    assert short_names([*map(Path, paths)]) == names


# The page


def test_a_page_is_whole_and_refers_to_nothing_outside(page_of_files, page_of_runs):
    for page in (page_of_files, page_of_runs):
        outline = outline_of(page)
        assert {r for r in outline.references if not r.startswith("#")} == set()
        assert {r[1:] for r in outline.references} <= outline.identifiers
        assert "<script" not in page and "url(" not in page and "@import" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in page_of_files


def test_a_page_has_what_it_is_about(page_of_runs):
    headings = re.findall(r"<h2>(.*?)</h2>", page_of_runs)
    assert headings == [
        "Scores", "Learning curves", "By source length", "Attention over training", "Alignments",
        "Words", "Settings that differ", "How it was made",
    ]  # fmt: skip
    # after 20 updates neither writes a word of a reference, so that no sentence is better
    assert page_of_runs.count("<title>Weights of source words") == 3


def test_tables_can_be_reached_by_the_keyboard_and_charts_are_described(page_of_runs):
    outline = outline_of(page_of_runs)
    regions = [values for tag, values in outline.tags if values.get("class") == "table"]
    assert regions and all(each["tabindex"] == "0" and each["aria-label"] for each in regions)
    images = [values for tag, values in outline.tags if (tag, values.get("role")) == ("div", "img")]
    assert len(images) >= 2 * 7 and all(each["aria-label"] for each in images)


def colours(scheme: str) -> dict[str, str]:
    """The variables of the style sheet in a scheme: "light" or "dark"."""
    blocks = re.findall(r":root \{(.*?)\}", STYLE, flags=re.DOTALL)
    found = dict(re.findall(r"--([\w-]+): (#\w{6})", blocks[0]))
    return found | (
        dict(re.findall(r"--([\w-]+): (#\w{6})", blocks[1])) if scheme == "dark" else {}
    )


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, contrast ratio: 1 to 21."""

    def luminance(colour: str) -> float:
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_have_the_contrast_of_wcag(scheme):
    found = colours(scheme)
    for text in ("ink", "quiet", "link", "missing-ink"):
        for background in ("paper", "card"):
            assert contrast(found[text], found[background]) >= 4.5, (text, background)
    assert contrast(found["added-ink"], found["added"]) >= 4.5
    for number in range(6):  # success criterion 1.4.11: graphics, 3 to 1
        assert contrast(found[f"series-{number}"], found["paper"]) >= 3


# Charts


def test_a_system_has_the_same_colour_in_every_chart(of_runs):
    systems = [figures.name for figures in of_runs.figures]
    drawn = {chart.name: chart for chart in charts(of_runs)}
    colours_of = {}
    for name in ("entropy-curve", "chrf-by-length"):  # of one system, and of both
        spec = specification(drawn[name], systems, FILE_THEME, width=400, height=200)
        scale = spec["layer"][-1]["encoding"]["color"]["scale"]
        colours_of[name] = dict(zip(scale["domain"], scale["range"], strict=True))
    assert colours_of["entropy-curve"].items() <= colours_of["chrf-by-length"].items()


def test_only_perplexity_has_a_logarithmic_axis(of_runs):
    systems = [figures.name for figures in of_runs.figures]
    for chart in charts(of_runs):
        spec = specification(chart, systems, FILE_THEME, width=400, height=200)
        y = spec["layer"][-1]["encoding"]["y"]
        assert (y["scale"].get("type") == "log") == (chart.name == "perplexity-curve")


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (9.2, 404, [10, 30, 100, 300]),
        (3, 50, [5, 10, 20, 50]),
        (9.2, 13, [10, 11, 12, 13]),
        (9.205, 9.252, [9.21, 9.22, 9.23, 9.24, 9.25]),
        (25, 8e5, [100, 1000, 10_000, 100_000]),
    ],
)
def test_ticks_of_a_logarithmic_axis_are_round_and_neither_few_nor_many(low, high, ticks):
    assert logarithmic_ticks(low, high) == pytest.approx(ticks)
    for exponent in range(1, 304):
        assert 4 <= len(logarithmic_ticks(1.0, 10.0**exponent)) <= 12


def test_twelve_systems_differ_in_colour_or_shape(of_files):
    (chart, *_) = charts(of_files)
    systems = [f"system {n}" for n in range(12)]
    rows = [{"x": "5–7", "y": 1.0, "system": name} for name in systems]
    spec = specification(replace(chart, rows=rows), systems, FILE_THEME, width=400, height=200)
    points = spec["layer"][-1]["encoding"]
    drawn = zip(points["color"]["scale"]["range"], points["shape"]["scale"]["range"], strict=True)
    assert len({*drawn}) == 12


def test_pictures_are_written_as_svg_and_png(tmp_path, files):
    result = call("compare-outputs", *files, "--pictures", tmp_path / "pictures")
    assert result.code == 0, result.err
    names = {path.name for path in (tmp_path / "pictures").iterdir()}
    stems = {"bleu-by-length", "chrf-by-length", "words-by-frequency"}
    assert names == {f"{stem}.{ending}" for stem in stems for ending in ("svg", "png")}
    assert (tmp_path / "pictures" / "bleu-by-length.png").read_bytes()[:4] == b"\x89PNG"
    assert result.out == ""


# Text


def test_the_terminal_has_the_content_of_the_page(of_runs):
    lines = list(report_lines(of_runs, width=80))
    titles = [line for line in lines if line.isupper()]
    expected = {
        *("SCORES", "BLEU BY SOURCE LENGTH", "WORDS BY THEIR FREQUENCY"),
        *("REPEATED AND DROPPED WORDS", "SETTINGS THAT DIFFER", "HOW IT WAS MADE"),
    }
    assert expected <= {*titles}
    assert any(line.startswith("ENTROPY OF ATTENTION, over updates") for line in lines)
    assert sum(line.startswith("ALIGNMENT OF LINE") for line in lines) == 3


# The programs


def test_a_report_of_files_is_written_as_a_page(tmp_path, files):
    page = tmp_path / "page.html"
    result = call(
        "compare-outputs", *files, "-o", page, "--bins", "6,9", "--name", "A", "--name", "B"
    )
    assert result.code == 0, result.err
    assert "A and B: a report" in page.read_text(encoding="utf-8")
    assert call("compare-outputs", *files, "-o", page).code == 2  # exists already


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--bins", "9,6"], "--bins is '9,6'"),
        (["--bins", "a"], "--bins is 'a'"),
        (["--name", "A"], "1 name for 2 files"),
        (["--name", "A", "--name", "A"], "two systems have the same name"),
        (["--against", "other"], "there is no system 'other'"),
        (["--target-language", "german"], "'german' is not a language code"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(files, options, message):
    result = call("compare-outputs", *files, *options)
    assert result.code == 2 and message in result.err


def test_without_the_package_a_page_is_refused_and_text_is_not(tmp_path, files):
    missing = {"vl_convert": None, "cli.terminal.report.pictures": None}
    with mock.patch.dict(sys.modules, missing):
        sys.modules.pop("cli.terminal.report.pictures")
        result = call("compare-outputs", *files, "-o", tmp_path / "page.html")
    assert result.code == 2 and "pip install 'seq2seq-trainer[report]'" in result.err
    assert not (tmp_path / "page.html").exists()
