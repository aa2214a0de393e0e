"""The content of a report, as figures and texts, before it is drawn as a page or as lines."""

import shlex
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from cli.runs.comparison.table import compare_systems
from cli.runs.directory import RunDirectory
from cli.runs.history import ValidationLine
from cli.runs.report.systems import ReportedSystem, Subject, compared_names
from cli.runs.translator import Translator
from cli.runs.views import Selection, guided_selection
from data.token_store import TokenStore
from seq2seq.evaluation.alignment import Alignment, merge_pieces
from seq2seq.evaluation.by_length import (
    BinScore,
    LengthBin,
    length_bins,
    scores_by_length,
    source_words,
)
from seq2seq.evaluation.quality import QualityReport, score_corpus
from seq2seq.evaluation.significance import TESTS, PairedScore, Test, paired_test
from seq2seq.evaluation.words import (
    FrequencyBucket,
    WordFaults,
    by_frequency,
    sentence_chrf,
    word_faults,
)

Tests: TypeAlias = Mapping[Test, Sequence[PairedScore]]
"""The paired tests of a system against the first; none for the first itself."""

FREQUENCY_SENTENCES = 200_000  # of the training text, whose words are counted
SHOWN_SENTENCES = 3  # whose alignments are drawn
DIFFERING_SENTENCES = 6


@dataclass(frozen=True)
class CurvePoint:
    """A validation of a run."""

    update: int
    minutes: float | None  # trained; None for runs of earlier versions
    perplexity: float
    bleu: float | None
    chrf: float | None
    entropy: float | None
    monotonicity: float | None


@dataclass(frozen=True)
class SystemFigures:
    """The figures that are shown of one system."""

    system: ReportedSystem
    quality: tuple[QualityReport, ...]  # of each output
    by_length: Mapping[str, Sequence[BinScore]]  # "bleu" and "chrf", one for each bin
    by_frequency: Sequence[FrequencyBucket]
    faults: WordFaults
    curves: Mapping[str, Sequence[CurvePoint]]  # by the name of an output
    tests: Tests

    @property
    def name(self) -> str:
        return self.system.name

    def mean(self, metric: str) -> float:
        """The mean over the outputs of a score: "bleu", "chrf" or "ter"."""
        return statistics.fmean(getattr(report, metric).score for report in self.quality)

    def deviation(self, metric: str) -> float | None:
        values = [getattr(report, metric).score for report in self.quality]
        return statistics.stdev(values) if len(values) > 1 else None


@dataclass(frozen=True)
class DifferingSentence:
    """A sentence that two systems translate differently well."""

    line: int  # from 1
    source: str
    reference: str
    first: str
    second: str
    chrf: tuple[float, float]


@dataclass(frozen=True)
class AlignedSentence:
    """A source and what each system with attention makes of it."""

    line: int
    source: str
    reference: str
    alignments: Mapping[str, Alignment]  # by the name of a system; of words


@dataclass(frozen=True)
class ReportContent:
    """Everything that a report shows."""

    subject: Subject
    bins: Sequence[LengthBin]
    figures: Sequence[SystemFigures]
    frequencies: str  # where words were counted
    differing: Sequence[DifferingSentence]  # the first system's better or worse than the last's
    compared: tuple[str, str] | None  # the systems of `differing`
    aligned: Sequence[AlignedSentence]
    settings: Mapping[str, Sequence[str]]  # those that differ, by name: one value for each system
    facts: Mapping[str, str]  # signatures, versions, hardware, commands


def collect(
    subject: Subject,
    *,
    bounds: Sequence[int] | None = None,
    against: str | None = None,
    device: str = "auto",
    threads: int | None = None,
    note: Callable[[str], None],
) -> ReportContent:
    """Compute everything.

    bounds: of the bins of source lengths, as in `length_bins`
    against: a system beside whose translations those of the first are shown, where they differ
        most; None: the last
    device, threads: with which the runs align a few sentences

    Raises ConfigError for a system that there is not.
    """
    pair = compared_names([system.name for system in subject.systems], against)
    lengths = source_words(subject.sources)
    bins = length_bins(lengths, bounds)
    frequencies, counted = _word_frequencies(subject)
    known = _known_tests(subject, note)
    figures: list[SystemFigures] = []
    for system in subject.systems:
        note(f"measuring {system.name}")
        tests = known[system.name] if system.name in known else _tests(subject, system)
        figures.append(_figures(subject, system, lengths, bins, frequencies, tests))
    return ReportContent(
        subject=subject,
        bins=bins,
        figures=figures,
        frequencies=counted,
        differing=_differing(subject, pair) if pair else (),
        compared=pair,
        aligned=_aligned(subject, lengths, device=device, threads=threads),
        settings=_differing_settings(subject.systems),
        facts=_facts(subject, figures),
    )


def _figures(
    subject: Subject,
    system: ReportedSystem,
    lengths: Sequence[int],
    bins: Sequence[LengthBin],
    frequencies: Mapping[str, int],
    tests: Tests,
) -> SystemFigures:
    language, references = subject.languages[1], list(subject.references)
    texts = [list(output.hypotheses) for output in system.outputs]
    joined = [line for each in texts for line in each]
    return SystemFigures(
        system=system,
        quality=tuple(score_corpus(each, [references], target_language=language) for each in texts),
        by_length=scores_by_length(texts, references, lengths, bins, target_language=language),
        by_frequency=by_frequency(joined, references * len(texts), frequencies),
        faults=word_faults(joined, references * len(texts)),
        curves={output.name: _curve(output.run) for output in system.outputs if output.run},
        tests=tests,
    )


def _known_tests(subject: Subject, note: Callable[[str], None]) -> dict[str, Tests]:
    """The significance tests that a comparison has computed, by the name of the system."""
    if subject.comparison is None:
        return {}
    table = compare_systems(subject.comparison, baseline=subject.systems[0].name, note=note)
    return {row.system.name: {t.test: t.scores for t in row.tests} for row in table.rows}


def _tests(subject: Subject, system: ReportedSystem) -> dict[Test, Sequence[PairedScore]]:
    """Against the first system, with as many outputs of each as both have, in their order."""
    first = subject.systems[0]
    if system == first:
        return {}
    count = min(len(first.outputs), len(system.outputs))
    theirs, ours = (
        [line for output in each.outputs[:count] for line in output.hypotheses]
        for each in (first, system)
    )
    references = list(subject.references) * count
    language = subject.languages[1]
    return {t: paired_test(t, theirs, ours, references, target_language=language) for t in TESTS}


def _curve(run: RunDirectory) -> list[CurvePoint]:
    curves = {line.update: line for line in run.read_curves()}
    points = []
    for line in run.read_metrics():
        if not isinstance(line, ValidationLine):
            continue
        curve = curves.get(line.update)
        points.append(
            CurvePoint(
                line.update,
                curve.seconds / 60 if curve else None,
                line.scores.perplexity,
                line.scores.bleu,
                line.scores.chrf,
                curve.entropy if curve else None,
                curve.monotonicity if curve else None,
            )
        )
    return points


def _word_frequencies(subject: Subject) -> tuple[Mapping[str, int], str]:
    """How often each word occurs in a text, and the name of that text: the training targets or,
    without their store, the references."""
    runs = [run for system in subject.systems for run in system.runs]
    store = runs[0].trained_store() if runs else None
    if store is None:
        return Counter(w for line in subject.references for w in line.split()), "the references"
    return _training_words(store), "the training text"


def _training_words(store: TokenStore) -> Counter[str]:
    train, tokenizer = store.split("train"), store.tokenizer("target")
    words = Counter[str]()
    for pair in range(min(len(train), FREQUENCY_SENTENCES)):
        words.update(tokenizer.decode(train.target(pair).tolist()).split())
    return words


def _differing(subject: Subject, pair: tuple[str, str]) -> list[DifferingSentence]:
    """The sentences with the largest difference of chrF, half of them better in either system."""
    by_name = {system.name: system for system in subject.systems}
    first, second = (by_name[name].outputs[0].hypotheses for name in pair)
    scores = [sentence_chrf(each, subject.references) for each in (first, second)]
    gains = [(b - a, i) for i, (a, b) in enumerate(zip(*scores, strict=True))]
    gains.sort(key=lambda gain: (-gain[0], gain[1]))
    half = DIFFERING_SENTENCES // 2
    chosen = [i for gain, i in gains[:half] if gain > 0]
    chosen += [i for gain, i in reversed(gains[-half:]) if gain < 0 and i not in chosen]
    return [
        DifferingSentence(
            i + 1,
            subject.sources[i],
            subject.references[i],
            first[i],
            second[i],
            (scores[0][i], scores[1][i]),
        )
        for i in chosen
    ]


def _aligned(
    subject: Subject, lengths: Sequence[int], *, device: str, threads: int | None
) -> list[AlignedSentence]:
    """A few sentences of a middle length, with the attention of each system's first run."""
    middle = sorted(range(len(lengths)), key=lambda i: (abs(lengths[i] - 8), i))
    chosen = sorted(middle[:SHOWN_SENTENCES])
    found: dict[int, dict[str, Alignment]] = {i: {} for i in chosen}
    for system in subject.systems:
        if not system.runs or system.runs[0].config.model.attention == "none":
            continue
        translator = Translator.load(system.runs[0].path, device=device, threads=threads)
        selection = guided_selection(translator, Selection("guided"))
        sources = [subject.sources[i] for i in chosen]
        translations = translator.translate(sources, head=selection.search_head)
        for i, translation in zip(chosen, translations, strict=True):
            shifted = translator.with_weights(translation, shift=selection.shift)
            if shifted.alignment:
                found[i][system.name] = merge_pieces(shifted.alignment)
    return [
        AlignedSentence(i + 1, subject.sources[i], subject.references[i], found[i])
        for i in chosen
        if found[i]
    ]


def _differing_settings(systems: Sequence[ReportedSystem]) -> dict[str, list[str]]:
    """Settings whose values are not the same in all runs, without the seed."""
    configs = [s.runs[0].config.model_dump() if s.runs else None for s in systems]
    known = [config for config in configs if config]
    found: dict[str, list[str]] = {}
    for section in known[0] if known else ():
        for name in known[0][section]:
            values = [_setting(config, section, name) for config in configs]
            if len({v for v in values if v}) > 1 and (section, name) != ("training", "seed"):
                found[f"{section}.{name}"] = values
    return found


def _setting(config: dict[str, Any] | None, section: str, name: str) -> str:
    if config is None:
        return ""
    value = config[section][name]
    return (
        "not set" if value is None else str(value).lower() if value in (True, False) else str(value)
    )


def _facts(subject: Subject, figures: Sequence[SystemFigures]) -> dict[str, str]:
    report = figures[0].quality[0]
    facts = {metric.name: metric.signature for metric in report.metrics}
    facts["test set"] = f"{subject.test}, {len(subject.sources):,} sentences"
    if subject.comparison:
        comparison = subject.comparison.comparison
        facts["machine"] = comparison.machine
        facts["versions"] = ", ".join(f"{n} {v}" for n, v in comparison.versions.items())
        facts["command"] = shlex.join(comparison.command_line)
        return facts
    made = {system.name: run.provenance for system in subject.systems for run in system.runs}
    if made:
        facts["machine"] = "; ".join(dict.fromkeys(each["machine"] for each in made.values()))
        versions = (each["versions"].items() for each in made.values())
        named = (", ".join(f"{name} {value}" for name, value in each) for each in versions)
        facts["versions"] = "; ".join(dict.fromkeys(named))
    for name, provenance in made.items():
        facts[f"command of {name}"] = shlex.join(provenance["command_line"])
    return facts
