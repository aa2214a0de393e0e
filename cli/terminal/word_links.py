"""Word links on stdout, and their error rate against the links of people as a table or JSON."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from cli.runs.chunks import CHUNK, available_chunks
from cli.runs.directory import RunDirectory
from cli.runs.translator import SCORING, Translator
from cli.runs.views import Selection
from cli.runs.word_links import (
    SHIFTS,
    Linker,
    LinksByShift,
    Shift,
    choose_shift,
    guided_shift,
    known_shift,
    measure,
    refuse_equal_direction,
    word_counts,
)
from cli.terminal.console import note, write_json, write_line
from cli.terminal.screen import progress
from data.corpus import SentencePair, read_aligned, read_lines, read_pairs, survey_pair
from data.inputs import display_name, refuse_repeated, rereadable
from seq2seq.errors import ConfigError
from seq2seq.evaluation.alignment import Link, pharaoh_line
from seq2seq.evaluation.link_quality import MEASURES, AlignmentQuality
from seq2seq.evaluation.links import (
    ReferenceLinks,
    Symmetrization,
    parse_reference_links,
    refuse_links_beyond,
    symmetrize,
)
from seq2seq.system.figures import counted

_WEIGHTS = {
    False: "attention",
    True: "posterior of attention and lexicon (--weights attention: attention alone)",
}
_NAMES = {"aer": "AER", "precision": "precision", "recall": "recall", "f1": "F1"}


@dataclass(frozen=True, kw_only=True)
class LinkRequest:
    """The options of `align` that are about links of words."""

    shift: int | Literal["guided", "auto"]
    threshold: float | None
    selection: Selection  # of heads and weights
    with_reverse: Path | None
    symmetrization: Symmetrization
    reference: Path | None
    reference_base: int | None
    statistics: bool
    as_json: bool

    @property
    def is_measured(self) -> bool:
        """Whether a table of measures is printed, not alignments."""
        return self.reference is not None or self.statistics

    def refuse_contradictions(self, form: str, target: Path | None) -> None:
        """Raises ConfigError for options that would have no effect, or cannot be used together."""
        if self.is_measured and form != "table":
            name = "--gold measures links" if self.reference else "--statistics measures attention"
            raise ConfigError(
                f"{name}, and --format {form} writes alignments",
                hint="leave one of them out; `align` can be run twice",
            )
        if self.reference_base is not None and self.reference is None:
            raise ConfigError(
                "--gold-base is the number of the first word in --gold, which is not given",
                hint="name the file of links with --gold, or leave --gold-base out",
            )
        by_posterior = self.selection.weights == "posterior"
        if by_posterior and self.selection.layer is not None:
            raise ConfigError(
                "--weights posterior is of attention to the source, and --layer of self-attention",
                hint="leave one of them out; `align` can be run twice",
            )
        if self.statistics:
            for option, is_given in (
                ("--weights posterior", by_posterior),
                ("--gold", self.reference is not None),
                ("--with-reverse", self.with_reverse is not None),
                ("--threshold", self.threshold is not None),
            ):
                if is_given:
                    raise ConfigError(
                        f"{option} is about links, and --statistics about attention",
                        hint="leave one of them out; `align` can be run twice",
                    )
        elif self.reference is not None:
            if target is None:
                raise ConfigError(
                    "--gold has links between SOURCE and TARGET, and TARGET is not given",
                    hint="name the file of translations that the links were drawn in",
                )
        elif self.as_json:
            raise ConfigError(
                "--json is for the measures of --gold and --statistics",
                hint="write alignments as JSON with --format json",
            )
        elif self.with_reverse is not None and form != "pharaoh":
            raise ConfigError(
                "--with-reverse combines links of words",
                hint="write them with --format pharaoh, or measure them with --gold",
            )
        elif self.threshold is not None and form != "pharaoh":
            raise ConfigError(
                "--threshold is for links of words",
                hint="write them with --format pharaoh, or measure them with --gold",
            )

    def linker(self, model: Translator) -> Linker:
        """Links words by the weights and the head that are selected in the model's run."""
        return Linker(
            translator=model,
            head=self.selection.for_run(model.run_config).search_head,
            threshold=self.threshold,
            posterior=self.selection.by_posterior(model, links=True),
        )

    def fixed_shift(self, model: Translator, note: Callable[[str], None]) -> int:
        """The shift of a run; it is noted, unless it is given, or 0 without being asked for."""
        if isinstance(self.shift, int):
            return self.shift
        config = model.run_config
        found = guided_shift(config) if self.shift == "guided" else known_shift(config)
        if found.rows or self.shift == "auto":
            note(f"shift {describe_shift(found)}")
        return found.rows

    def shift_for(self, model: Translator) -> Shift | None:
        """The shift of a run; None where the links of people are to choose it."""
        if isinstance(self.shift, int):
            return Shift(self.shift, "as it was given")
        if self.shift == "guided":
            return guided_shift(model.run_config)
        return None if self.reference is not None else known_shift(model.run_config)


@dataclass(frozen=True, kw_only=True)
class Direction:
    """A run that links words, and its shift; None where the links of people are to choose it."""

    linker: Linker
    shift: Shift | None

    @property
    def shifts(self) -> tuple[int, ...]:
        return SHIFTS if self.shift is None else (self.shift.rows,)

    def find(self, pairs: Sequence[SentencePair]) -> list[LinksByShift]:
        """The links of all pairs, with a progress bar."""
        with progress() as bar:
            task = bar.add_task("aligning", total=len(pairs))
            found = list[LinksByShift]()
            for begin in range(0, len(pairs), CHUNK):
                found += self.linker.links(pairs[begin : begin + CHUNK], self.shifts)
                bar.update(task, completed=len(found))
        return found


@dataclass(frozen=True, kw_only=True)
class MeasuredLinks:
    """The quality of links, and how they were found."""

    quality: AlignmentQuality
    shifts: tuple[Shift, ...]  # of each direction
    posterior: tuple[bool, ...]  # whether links of each are by the posterior, not by attention
    symmetrization: Symmetrization | None


def link_words(
    asked: LinkRequest, model: Translator, run: Path, source: Path, target: Path | None
) -> None:
    """Measure links against those of people, or write those of two directions."""
    forward = Direction(linker=asked.linker(model), shift=asked.shift_for(model))
    directions = [forward]
    if asked.with_reverse is not None:
        directions.append(_reverse_direction(asked, model, run, asked.with_reverse))
    if asked.reference is None:
        _write_symmetrized(asked, model, directions, source, target)
        return
    assert target is not None
    refuse_repeated([source, target, asked.reference])
    pairs = [SentencePair(*lines) for lines in zip(*read_aligned([source, target]), strict=True)]
    references = _read_reference_links(asked.reference, pairs, base=asked.reference_base)
    measured = measure_links(pairs, references, directions, asked.symmetrization)
    if asked.as_json:
        write_json(links_quality_json(measured) | {"run": str(run), **model.provenance})
    else:
        print_links_quality(measured)


def _reverse_direction(
    asked: LinkRequest, model: Translator, run: Path, reverse: Path
) -> Direction:
    refuse_equal_direction(RunDirectory.open(run).languages, RunDirectory.open(reverse).languages)
    other = Translator.load(reverse, device=model.device, search=SCORING)
    try:
        linker = replace(asked.linker(other), backward=True)
        other.require_attention(linker.head)
    except ConfigError as error:
        raise ConfigError(f"{reverse}: {error.message}", hint=error.hint) from error
    return Direction(linker=linker, shift=asked.shift_for(other))


def _write_symmetrized(
    asked: LinkRequest,
    model: Translator,
    directions: Sequence[Direction],
    source: Path,
    target: Path | None,
) -> None:
    for direction, name in zip(directions, ("RUN", "--with-reverse"), strict=True):
        if direction.shift is not None and (asked.shift == "auto" or direction.shift.rows):
            note(f"shift of {name} {describe_shift(direction.shift)}")
    forward, backward = directions
    if target is None:
        for lines in available_chunks(read_lines(source)):
            translations = model.translate(lines)
            pairs = [SentencePair(each.source, each.text) for each in translations]
            _write_links(iter(pairs), forward, backward, asked.symmetrization)
        return
    with rereadable(source, target, notify=note):
        survey_pair(source, target)  # unequal counts are refused before anything is written
        _write_links(read_pairs(source, target), forward, backward, asked.symmetrization)


def _write_links(
    pairs: Iterator[SentencePair],
    forward: Direction,
    backward: Direction,
    method: Symmetrization,
) -> None:
    """One line of Pharaoh links for each pair; the shift of both directions must be known."""
    assert forward.shift is not None and backward.shift is not None
    for chunk in available_chunks(pairs):
        there, back = (each.linker.links(chunk, each.shifts) for each in (forward, backward))
        for ours, theirs in zip(there, back, strict=True):
            both = ours[forward.shift.rows], theirs[backward.shift.rows]
            write_line(pharaoh_line(symmetrize(*both, method)))
        sys.stdout.flush()


def _read_reference_links(
    path: Path, pairs: Sequence[SentencePair], *, base: int | None
) -> list[ReferenceLinks]:
    """Raises CorpusError for a file that does not fit the pairs."""
    name = display_name(path)
    found = parse_reference_links(
        list(read_lines(path)), name=name, sentences=len(pairs), base=base
    )
    refuse_links_beyond(found, word_counts(pairs), name=name)
    return found


def measure_links(
    pairs: Sequence[SentencePair],
    references: Sequence[ReferenceLinks],
    directions: Sequence[Direction],
    method: Symmetrization,
) -> MeasuredLinks:
    """The links of one direction, or of two symmetrised, against those of people."""
    chosen, links = list[Shift](), list[list[set[Link]]]()
    for direction in directions:
        found = direction.find(pairs)
        shift = direction.shift or choose_shift(found, references)
        chosen.append(shift)
        links.append([each[shift.rows] for each in found])
    one_set = (
        links[0]
        if len(links) == 1
        else [symmetrize(there, back, method) for there, back in zip(*links, strict=True)]
    )
    return MeasuredLinks(
        quality=measure(one_set, references),
        shifts=tuple(chosen),
        posterior=tuple(each.linker.posterior for each in directions),
        symmetrization=None if len(links) == 1 else method,
    )


def print_links_quality(measured: MeasuredLinks) -> None:
    """A small table; no line is wrapped."""
    quality, counts = measured.quality, measured.quality.counts
    for name in MEASURES:
        better = "lower is better" if name == "aer" else "higher is better"
        value, interval = getattr(quality, name), quality.intervals[name]
        cells = f"{_NAMES[name]:<9}  {value:.3f}  95 %: {interval.low:.3f} to {interval.high:.3f}"
        write_line(f"{cells}  {better}")
    write_line("")
    write_line(
        f"{counted(quality.sentences, 'sentence')}, {counted(counts.links, 'link')}; "
        f"{counts.sure_hits:,} of {counts.sure:,} sure links found, "
        f"{counts.possible_hits:,} links sure or possible"
    )
    for shift, by_posterior, run in zip(
        measured.shifts, measured.posterior, ("", " of --with-reverse"), strict=False
    ):
        write_line(f"weights{run}: {_WEIGHTS[by_posterior]}")
        write_line(f"shift{run}: {describe_shift(shift)}")
    if measured.symmetrization:
        write_line(f"both directions: {measured.symmetrization}")


def describe_shift(shift: Shift) -> str:
    """For example "0: it has the lowest AER of these links (0: 0.612, 1: 0.770, -1: 0.781)"."""
    rates = ", ".join(f"{rows}: {rate:.3f}" for rows, rate in shift.error_rates.items())
    return f"{shift.rows}: {shift.reason}" + (f" ({rates})" if rates else "")


def links_quality_json(measured: MeasuredLinks) -> dict[str, Any]:
    """The measures as JSON values that are not rounded."""
    quality = measured.quality
    return {
        "schema_version": 1,
        "sentences": quality.sentences,
        **{
            name: {"value": getattr(quality, name), **quality.intervals[name]._asdict()}
            for name in MEASURES
        },
        "counts": quality.counts._asdict(),
        "shifts": [
            {
                "rows": shift.rows,
                "reason": shift.reason,
                "aer": {str(rows): rate for rows, rate in shift.error_rates.items()} or None,
            }
            for shift in measured.shifts
        ],
        "weights": ["posterior" if each else "attention" for each in measured.posterior],
        "symmetrization": measured.symmetrization,
    }
