"""Pictures of the weights behind translations: on the terminal, or in a page or picture file."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from cli.runs.chunks import available_chunks
from cli.runs.directory import RunDirectory
from cli.runs.output import is_standard_output, refuse_output, write_bytes, write_lines
from cli.runs.translation import Translation
from cli.runs.translator import Origin, Translator
from cli.runs.views import Selection, View, guided_selection, views
from cli.terminal.console import note, write_line
from cli.terminal.drawing import Theme, draw, has_shades
from cli.terminal.screen import stdout_console
from cli.terminal.translations import warn_if_truncated
from data.corpus import read_lines, read_pairs, survey_pair
from data.inputs import display_name, rereadable, short_names
from seq2seq.errors import ConfigError
from seq2seq.rendering.drawing import Style
from seq2seq.rendering.html import page
from seq2seq.rendering.panels import Panel, Sentence, arrange
from seq2seq.rendering.svg import svg
from seq2seq.rendering.text import CAUTION

SALIENCY = (
    "gradient saliency (input x gradient), because this model has no attention: the influence of "
    "each source word on the probability of the target word"
)
POSTERIOR = (
    "the posterior of attention and lexicon: the probability that a target word comes from a "
    "source word, given what is written"
)
Pair: TypeAlias = tuple[str, str | None]
"""A line, and the translation of it that is given, if there is one."""
MOST_IN_PICTURE = 40  # tables
LONGEST_SHOWN = 1000  # characters of a line above a drawing, on a terminal


@dataclass(frozen=True)
class Layout:
    """How pictures are laid out on the terminal."""

    style: Style = "auto"
    theme: Theme = "auto"
    width: int | None = None  # None: that of the terminal


@dataclass(frozen=True)
class ShownRun:
    """A run whose weights are shown, beside those of other runs or of other checkpoints."""

    name: str  # "" where it is the only one
    translator: Translator
    selection: Selection


@dataclass(frozen=True)
class PictureRequest:
    """The options of `align` that are about pictures."""

    run: Path
    selection: Selection
    layout: Layout
    compare: Sequence[Path]
    history: bool
    shift: Callable[[Translator, Callable[[str], None]], int]  # that of a run, which is noted
    form: str  # a value of --format; the others than table, html, svg and png are not drawn
    output: Path | None  # None: standard output
    overwrite: bool

    def refuse_contradictions(
        self,
        *,
        links: bool,
        archive: bool,
        inputs: Sequence[Path | None],
        runs: Sequence[Origin],
    ) -> None:
        """Raises ConfigError for options that would have no effect, or cannot be used together.

        links: whether links or tables for programs are written instead
        archive: whether these are a NumPy archive, which has to be a file
        inputs: files that must not be written over, besides those of the runs
        """
        if archive and (self.output is None or is_standard_output(self.output)):
            raise ConfigError(
                "a NumPy archive has to be a file", hint="name it: --output alignments.npz"
            )
        if self.output is not None:
            if not archive and (links or self.form == "table"):
                raise ConfigError(
                    "--output is for pages, pictures and archives",
                    hint="use --format html, svg, png or npz, or redirect standard output",
                )
            own = [file for each in runs for file in each.files]
            refuse_output(
                self.output, inputs=[*own, *filter(None, inputs)], overwrite=self.overwrite
            )
        if self.form == "png":
            import cli.terminal.report.pictures  # noqa: F401  which says how to install it

            if self.output is None or is_standard_output(self.output):
                raise ConfigError(
                    "--format png writes a file", hint="name it with -o, such as -o picture.png"
                )
        if self.compare and self.history:
            raise ConfigError(
                "--compare and --history both draw several tables beside each other",
                hint="use one of them",
            )
        given = {
            "--head all": self.selection.head == "all",
            "--layer": self.selection.layer is not None,
            "--compare": bool(self.compare),
            "--history": self.history,
        }
        for name, is_given in given.items():
            if links and is_given:
                raise ConfigError(
                    f"{name} is for drawings", hint="use --format table, html, svg or png"
                )

    def draw(
        self,
        model: Translator,
        source: Path,
        target: Path | None,
        load: Callable[[Path, str], Translator],
    ) -> None:
        """Draw the weights of a loaded run, and those beside it. load: of a run, a checkpoint"""
        runs = self._shown(model, load)
        for each in runs:
            each.selection.check(each.translator)
        found = pictures(runs, source, target, guide=model if self.history else None)
        if self.form == "table":
            show_pictures(found, self.layout, caution_line(runs))
        elif self.form == "html":
            title = f"{display_name(source)}: {self.run.resolve().name}"
            self._write(page(title, sentences(found), caution_line(runs)))
        elif self.form == "svg":
            self._write(svg(sentences(found, most=MOST_IN_PICTURE)))
        else:
            self._write_png(svg(sentences(found, most=MOST_IN_PICTURE)))

    def _write(self, text: str) -> None:
        if self.output is None or is_standard_output(self.output):
            sys.stdout.write(text)
        else:
            write_lines(self.output, text.removesuffix("\n").split("\n"))
            note(f"written to {self.output}")

    def _write_png(self, picture: str) -> None:
        from cli.terminal.report.pictures import png_of

        assert self.output is not None, "refused without a file"
        write_bytes(self.output, png_of(picture))
        note(f"written to {self.output}")

    def _shown(self, model: Translator, load: Callable[[Path, str], Translator]) -> list[ShownRun]:
        def shown(name: str, translator: Translator) -> ShownRun:
            selection = self.selection.for_run(translator.run_config)
            shift = self.shift(translator, note) if translator.has_attention else 0
            return ShownRun(name, translator, replace(selection, shift=shift))

        if self.history:
            checkpoints = RunDirectory.open(self.run).checkpoint_names
            return [
                shown(f"update {update:,}", load(self.run, name)) for update, name in checkpoints
            ]
        if not self.compare:
            return [shown("", model)]
        paths = [self.run, *self.compare]
        names = short_names(paths)
        models = [model, *(load(path, "best") for path in self.compare)]
        return [shown(*each) for each in zip(names, models, strict=True)]


@dataclass(frozen=True)
class Picture:
    """The translations and tables that are shown of one line of text."""

    source: str
    translations: tuple[tuple[str, Translation], ...]  # with the name of the run, "" for one
    views: tuple[View, ...]  # titled by run, if there are several, and by head


def pictures(
    runs: Sequence[ShownRun], source: Path, target: Path | None, *, guide: Translator | None = None
) -> Iterator[Picture]:
    """The attention of each run for each line.

    Each run is made to produce the lines of TARGET if it is given, or the translation of the guide;
    otherwise it translates by itself. stdout is flushed after each chunk, before the next one is
    waited for.
    """
    with ExitStack() as stack:
        pairs: Iterator[Pair]
        if target is None:
            pairs = ((line, None) for line in read_lines(source))
        else:
            stack.enter_context(rereadable(source, target, notify=note))
            survey_pair(source, target)  # unequal counts are refused before anything is written
            pairs = ((pair.source, pair.target) for pair in read_pairs(source, target))
        for chunk in available_chunks(pairs):
            guides = None
            if guide is not None and target is None:
                guides = guide.translate([line for line, _ in chunk])
            found = [_translations(run, chunk, guides) for run in runs]
            for (line, _), *translations in zip(chunk, *found, strict=True):
                yield picture(runs, line, translations)
            sys.stdout.flush()


def _translations(
    run: ShownRun, chunk: Sequence[Pair], guides: Sequence[Translation] | None
) -> list[Translation]:
    """The run's own translations of a chunk, or those that it is made to produce."""
    translator, head = run.translator, run.selection.search_head
    if guides is not None:
        return [
            translator.force(each.source, each.candidates[0].ids, head=head)
            if each.candidates
            else each
            for each in guides
        ]
    if chunk[0][1] is None:
        return translator.translate([line for line, _ in chunk], head=head)
    return [translator.align(line, given or "", head=head) for line, given in chunk]


def picture(runs: Sequence[ShownRun], source: str, translations: Sequence[Translation]) -> Picture:
    """The tables of one line in all runs."""
    found = []
    for run, translation in zip(runs, translations, strict=True):
        for view in views(run.translator, translation, run.selection):
            title = ", ".join(filter(None, (run.name, view.title)))
            found.append(replace(view, title=title))
    named = [(run.name, each) for run, each in zip(runs, translations, strict=True)]
    return Picture(source, tuple(named), tuple(found))


def show_pictures(found: Iterator[Picture], layout: Layout, caution: str) -> None:
    """Draw pictures below their numbers and texts; a blank line has none.

    caution: is noted at the end, where attention was drawn
    """
    measures = set()
    for number, each in enumerate(found, start=1):
        for _, translation in each.translations[:1]:
            warn_if_truncated(translation, line=number)
        if not each.views:
            continue
        measures |= {view.measure for view in each.views}
        write_line(f"{number}  {_shown(each.source)}")
        indent = " " * (len(str(number)) + 2)
        texts = {translation.text for _, translation in each.translations}
        for name, translation in each.translations[: None if len(texts) > 1 else 1]:
            write_line(
                indent + _shown(translation.text) + (f"  ({name})" if len(texts) > 1 else "")
            )
        draw_views(each.views, layout)
        write_line("")
    if "attention" in measures:
        note(caution)


def caution_line(runs: Sequence[ShownRun]) -> str:
    """The line that attention is not alignment, and of which runs it was guided by links."""
    guided = [run.name for run in runs if run.translator.run_config.training.guided_alignment]
    if not guided:
        return CAUTION
    whose = "here it" if len(guided) == len(runs) else f"that of {', '.join(guided)}"
    return f"{CAUTION}; {whose} was guided by links (training.guided_alignment)"


def sentences(found: Iterator[Picture], *, most: int | None = None) -> list[Sentence]:
    """All lines that are not blank, for a page or a picture.

    most: tables that a picture may have; raises ConfigError for more
    """
    shown: list[Sentence] = []
    for number, each in enumerate(found, start=1):
        for _, translation in each.translations[:1]:
            warn_if_truncated(translation, line=number)
        if each.views:
            panels = tuple((view.text, _panel(view)) for view in each.views)
            shown.append(Sentence(number, each.source, panels))
        if most is not None and sum(len(sentence.panels) for sentence in shown) > most:
            raise ConfigError(
                f"a picture of more than {most} tables is too large to be shown",
                hint="choose lines, with `head -20` for example, or write a page: --format html",
            )
    return shown


def show_sample(
    translator: Translator,
    sources: Sequence[str],
    references: Sequence[str],
    count: int,
    layout: Layout,
) -> None:
    """Translate and draw `count` lines of a test set that are not blank, spread over all of it."""
    written = [number for number, source in enumerate(sources) if source.strip()]
    count = min(count, len(written))
    numbers = [written[index * len(written) // count] for index in range(count)]
    run = ShownRun("", translator, guided_selection(translator, Selection("guided")))
    for number in numbers:
        write_line("")
        write_line(f"line         {number + 1}")
        write_line(f"source       {_shown(sources[number])}")
        translations = translator.translate([sources[number]], head=run.selection.search_head)
        write_line(f"translation  {_shown(translations[0].text)}")
        write_line(f"reference    {_shown(references[number])}")
        draw_views(picture([run], sources[number], translations).views, layout)
    if translator.has_attention:
        note(caution_line([run]))


def draw_views(shown: Sequence[View], layout: Layout | None = None) -> None:
    """Draw tables of weights on stdout, as wide as the terminal unless a width is given."""
    layout, console = layout or Layout(), stdout_console()
    panels = [_panel(view) for view in shown]
    for drawing in arrange(
        panels,
        width=layout.width or console.width,
        style=layout.style,
        height=console.height if console.is_terminal and has_shades(console) else None,
    ):
        draw(drawing, console, theme=layout.theme)


def _panel(view: View) -> Panel:
    notes = {"saliency": SALIENCY, "posterior": POSTERIOR}
    return Panel(view.title, view.alignment, view.probability, notes.get(view.measure))


def _shown(text: str) -> str:
    """Text above a drawing, which is cut on a terminal where it would fill the screen."""
    if len(text) <= LONGEST_SHOWN or not sys.stdout.isatty():
        return text
    return f"{text[:LONGEST_SHOWN]}… ({len(text):,} characters, cut here)"
