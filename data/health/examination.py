"""Examine a parallel corpus: read both files, measure them and list the findings."""

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
from data.health.side_scan import EXAMPLES, SideScan

EXAMPLE_CHARACTERS = 200  # longer examples are shortened
SHORTEST_UNMATCHED = 50  # lines; shorter stretches without an offset are ignored


def examine(
    source: Path,
    target: Path,
    config: DataConfig | None = None,
    *,
    names: tuple[str, str] | None = None,
    advance: Callable[[int], object] = lambda lines: None,
) -> CorpusHealth:
    """Read a corpus and report on it.

    names: of the files, for messages in place of their paths
    advance: called with the number of lines after each block of lines

    Raises CorpusError only for what cannot be read at all: a missing file, a directory, bad gzip.
    """
    config = config or DataConfig()
    name_source, name_target = names or (str(source), str(target))
    left, right = SideScan(name_source, source), SideScan(name_target, target)
    cleaning, dropped = _scan(left, right, config, advance)
    pairs = min(left.lines, right.lines)
    stretches = _merge_stretches(find_stretches(left.traces(), right.traces()))
    correlation = length_correlation(left.traces(), right.traces())
    copies = find_copies(left, right, pairs)
    found = findings_of(
        left, right, stretches, correlation, copies, cleaning, same_file=_same_file(source, target)
    )
    if config.unescape:
        found = [finding for finding in found if finding.code != "escaped"]
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
        findings=_with_example_texts(found, left, right),
    )


def _scan(
    left: SideScan, right: SideScan, config: DataConfig, advance: Callable[[int], object]
) -> tuple[CleaningReport, dict[str, list[Example]]]:
    """Read both files in step. Returns what cleaning would drop, and examples for each reason."""
    rules, report = cleaning_rules(config), CleaningReport()
    dropped: dict[str, list[Example]] = {}
    right_lines = itertools.chain.from_iterable(right.line_blocks())
    for block in left.line_blocks():
        start = left.lines
        sources, bad_sources = left.add(block)
        right_block = list(itertools.islice(right_lines, len(block)))
        targets, bad_targets = right.add(right_block) if right_block else ([], set())
        invalid = bad_sources | bad_targets
        for index, pair in enumerate(map(SentencePair, sources, targets)):
            report.read += 1
            pair = pair.unescaped() if config.unescape else pair
            reason = "not valid UTF-8" if index in invalid else reason_to_drop(pair, rules)
            if reason:
                number = start + index + 1
                report.drop(reason, line=number)
                examples = dropped.setdefault(reason, [])
                if len(examples) < EXAMPLES and index not in invalid:  # a finding has those
                    examples.append(Example(number, _shorten(pair.source), _shorten(pair.target)))
        advance(len(block))
    while rest := list(itertools.islice(right_lines, 4096)):
        right.add(rest)
        advance(len(rest))
    return report, dropped


def _shorten(text: str) -> str:
    return text if len(text) <= EXAMPLE_CHARACTERS else text[: EXAMPLE_CHARACTERS - 1] + "…"


def _same_file(source: Path, target: Path) -> bool:
    try:
        return source.samefile(target)
    except OSError:
        return False


def _merge_stretches(stretches: Sequence[Stretch]) -> tuple[Stretch, ...]:
    """Ignore short stretches without an offset, and join neighbours of equal offset."""
    merged: list[Stretch] = []
    for part in stretches:
        if part.offset is None and part.last - part.first + 1 < SHORTEST_UNMATCHED and merged:
            part = replace(part, offset=merged[-1].offset)
        if merged and merged[-1].offset == part.offset:
            merged[-1] = replace(merged[-1], last=part.last)
        else:
            merged.append(part)
    return tuple(merged)


def _with_example_texts(
    findings: Sequence[Finding], left: SideScan, right: SideScan
) -> tuple[Finding, ...]:
    """The findings with the text of their examples, by a second pass over each file."""
    wanted = {example.line for finding in findings for example in finding.examples}
    sources, targets = _lines_at(left, wanted), _lines_at(right, wanted)
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


def _lines_at(side: SideScan, numbers: set[int]) -> dict[int, str]:
    found: dict[int, str] = {}
    last = max(numbers, default=0)
    if side.has_utf16_bom or side.looks_like_utf16 or not last:
        return found
    for number, raw in enumerate(read_raw_lines(side.path), start=1):
        if number in numbers:
            found[number] = _shorten(raw.decode("utf-8", errors="replace"))
        if number >= last:
            break
    return found
