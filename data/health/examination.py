"""Two files are read, measured and judged."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from data.cleaning import CleaningReport, cleaning_rules, reason_to_drop
from data.config import DataConfig
from data.corpus import SentencePair, read_raw_lines
from data.health.findings import findings_of
from data.health.measures import find_copies, length_distributions, length_ratio
from data.health.report import CorpusHealth, Drop, Example, Finding, SideHealth
from data.health.shifts import Stretch, find_stretches, length_correlation
from data.health.side import EXAMPLES, Side

SHOWN = 200  # characters of an example that are kept
LEAST_LOST = 50  # lines that fit nowhere before it is said


def examine(
    source: Path,
    target: Path,
    config: DataConfig | None = None,
    *,
    names: tuple[str, str] | None = None,
    advance: Callable[[int], object] = lambda lines: None,
) -> CorpusHealth:
    """Read a corpus and report on it; `names` stand for the paths, `advance` hears of lines read.

    Raises CorpusError only for what cannot be read at all: a missing file, a directory, bad gzip.
    """
    config = config or DataConfig()
    name_source, name_target = names or (str(source), str(target))
    left, right = Side(name_source, source), Side(name_target, target)
    cleaning, dropped = _read(left, right, config, advance)
    pairs = min(left.lines, right.lines)
    stretches = _told(find_stretches(left.traces(), right.traces()))
    correlation = length_correlation(left.traces(), right.traces())
    copies = find_copies(left, right, pairs)
    found = findings_of(
        left, right, stretches, correlation, copies, cleaning, same_file=_same_file(source, target)
    )
    words = length_distributions(
        (left.words(), left.longest_words), (right.words(), right.longest_words)
    )
    characters = length_distributions(
        (left.traces().characters, left.longest_characters),
        (right.traces().characters, right.longest_characters),
    )
    return CorpusHealth(
        source=SideHealth(left.name, left.lines, left.blank, words[0], characters[0]),
        target=SideHealth(right.name, right.lines, right.blank, words[1], characters[1]),
        pairs=pairs,
        usable=cleaning.kept,
        blank_pairs=cleaning.reasons["both sides blank"],
        duplicate_pairs=copies.duplicates,
        ambiguous_sources=copies.ambiguous,
        identical_pairs=len(copies.identical),
        ratio=length_ratio(left, right, pairs),
        length_correlation=correlation,
        drops=tuple(
            Drop(reason, count, tuple(dropped[reason]))
            for reason, count in cleaning.reasons.most_common()
        ),
        stretches=stretches,
        findings=_illustrated(found, left, right),
    )


def _read(
    left: Side, right: Side, config: DataConfig, advance: Callable[[int], object]
) -> tuple[CleaningReport, dict[str, list[Example]]]:
    """Read both files in step; returns what cleaning would do to the pairs, with examples."""
    rules, report = cleaning_rules(config), CleaningReport()
    dropped: dict[str, list[Example]] = {}
    targets = itertools.chain.from_iterable(right.pieces())
    for piece in left.pieces():
        start = left.lines
        sources, bad_sources = left.take(piece)
        facing = list(itertools.islice(targets, len(piece)))
        others, bad_targets = right.take(facing) if facing else ([], set())
        unread = bad_sources | bad_targets
        for index, pair in enumerate(map(SentencePair, sources, others)):
            report.read += 1
            reason = "not valid UTF-8" if index in unread else reason_to_drop(pair, rules)
            if reason:
                number = start + index + 1
                report.drop(reason, line=number)
                shown = dropped.setdefault(reason, [])
                if len(shown) < EXAMPLES and index not in unread:  # a finding shows those
                    shown.append(Example(number, _shortened(pair.source), _shortened(pair.target)))
        advance(len(piece))
    while rest := list(itertools.islice(targets, 4096)):
        right.take(rest)
        advance(len(rest))
    return report, dropped


def _shortened(text: str) -> str:
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def _same_file(source: Path, target: Path) -> bool:
    try:
        return source.samefile(target)
    except OSError:
        return False


def _told(stretches: Sequence[Stretch]) -> tuple[Stretch, ...]:
    """Without the short stretches that fit nowhere, and with neighbours of one offset joined."""
    told: list[Stretch] = []
    for part in stretches:
        if part.offset is None and part.last - part.first + 1 < LEAST_LOST and told:
            part = replace(part, offset=told[-1].offset)
        if told and told[-1].offset == part.offset:
            told[-1] = replace(told[-1], last=part.last)
        else:
            told.append(part)
    return tuple(told)


def _illustrated(findings: Sequence[Finding], left: Side, right: Side) -> tuple[Finding, ...]:
    """With the text of the examples, by one further reading of each file."""
    wanted = {example.line for finding in findings for example in finding.examples}
    sources, targets = _chosen_lines(left, wanted), _chosen_lines(right, wanted)
    return tuple(
        replace(
            finding,
            examples=tuple(
                replace(example, source=sources.get(example.line), target=targets.get(example.line))
                for example in finding.examples
            ),
        )
        for finding in findings
    )


def _chosen_lines(side: Side, numbers: set[int]) -> dict[int, str]:
    found: dict[int, str] = {}
    last = max(numbers, default=0)
    if side.utf16 or side.looks_like_utf16 or not last:
        return found
    for number, raw in enumerate(read_raw_lines(side.path), start=1):
        if number in numbers:
            found[number] = _shortened(raw.decode("utf-8", errors="replace"))
        if number >= last:
            break
    return found
