"""The findings about a corpus: faults, warnings and notes, one function for each kind."""

from collections.abc import Iterator, Sequence

from data.cleaning import CleaningReport
from data.health.changed_text import not_plain_text, unequal_cases
from data.health.measures import Copies
from data.health.report import SEVERITIES, Example, Finding, Severity
from data.health.shifts import Stretch
from data.health.side_scan import EXAMPLES, SideScan
from data.health.sufficiency import few_pairs
from seq2seq.system.figures import counted, percent, plural

# Shares of all pairs above which a note becomes a warning.
MANY_DROPPED = 0.1
MANY_REPEATED = 0.1
MANY_IDENTICAL = 0.1
MANY_SUSPECT_ENCODINGS = 0.001
LOWEST_CORRELATION = 0.1  # of line lengths, in at least ENOUGH_LINES lines
ENOUGH_LINES = 200


def findings_of(
    left: SideScan,
    right: SideScan,
    stretches: Sequence[Stretch],
    correlation: float | None,
    copies: Copies,
    cleaning: CleaningReport,
    *,
    same_file: bool,
) -> list[Finding]:
    """All findings, the most severe first."""
    sides = (left,) if same_file else (left, right)
    pairs = min(left.lines, right.lines)
    found = [
        *_unreadable_text(sides),
        *_unequal_counts(left, right, stretches),
        *_shifts(left, right, stretches),
        *_unrelated(correlation, stretches, pairs),
        *_identical_sides(same_file, copies, pairs),
        *_suspect_encodings(sides),
        *not_plain_text(sides),
        *unequal_cases(left, right),
        *_dropped_pairs(cleaning, left, right),
        *_repetitions(copies, pairs),
        *_odd_characters(sides),
        *_harmless_details(sides),
        *filter(None, [few_pairs(cleaning.kept)]),
    ]
    return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))


def _unreadable_text(sides: Sequence[SideScan]) -> Iterator[Finding]:
    """Faults of files that training would refuse."""
    for side in sides:
        if side.has_utf16_bom:
            yield Finding(
                "utf-16",
                "fault",
                f"{side.name} looks like UTF-16, not UTF-8",
                1,
                "convert it: `iconv -f UTF-16 -t UTF-8 FILE > NEW`",
            )
        elif not side.lines:
            yield Finding(
                "empty", "fault", f"{side.name} is empty", 1, "give a file with one sentence a line"
            )
        elif side.looks_like_utf16:
            yield Finding(
                "utf-16",
                "fault",
                f"{side.name} looks like UTF-16 without a byte-order mark: most lines have a NUL",
                side.nul.count,
                "convert it: `iconv -f UTF-16LE -t UTF-8 FILE > NEW` (or UTF-16BE)",
                side.nul.as_examples(),
            )
        elif side.invalid_utf8.count:
            yield Finding(
                "invalid-utf-8",
                "fault",
                f"{counted(side.invalid_utf8.count, 'line')} of {side.name} "
                f"{plural(side.invalid_utf8.count, 'is', 'are')} not valid UTF-8",
                side.invalid_utf8.count,
                "convert the file, for example with `iconv -f LATIN1 -t UTF-8`",
                side.invalid_utf8.as_examples(),
            )


def _unequal_counts(
    left: SideScan, right: SideScan, stretches: Sequence[Stretch]
) -> Iterator[Finding]:
    surplus = right.lines - left.lines
    if not surplus or not stretches:
        return
    shorter, longer = (left, right) if surplus > 0 else (right, left)
    extra = counted(abs(surplus), "line")
    changes = [part for part in stretches[1:] if part.offset is not None]
    if stretches[0].offset not in (0, None):
        changes.insert(0, stretches[0])
    if changes:
        line = changes[0].first
        advice = f"{shorter.name} seems to lack {extra} near line {line:,}: compare the two there"
        if len({part.offset for part in changes}) > 1:
            lines = ", ".join(f"{part.first:,}" for part in changes[:EXAMPLES])
            advice = f"the sides seem to shift near lines {lines}: compare them there"
        numbers = [line + step for step in (-1, 0, 1)]
    else:
        line = min(left.lines, right.lines) + 1
        advice = (
            f"the sides seem aligned to the end of {shorter.name}; "
            f"the extra lines start at {longer.name}:{line}"
        )
        numbers = [line - 1, line]
    near = [number for number, _ in shorter.line_breaks.examples if abs(number - line) < 20]
    if near:
        advice += (
            f"; {shorter.name}:{near[0]} has a character that some programs take for a line end"
        )
    yield Finding(
        "unequal-counts",
        "fault",
        f"{left.name} has {counted(left.lines, 'line')} but {right.name} has {right.lines:,}",
        abs(surplus),
        advice,
        tuple(Example(number) for number in numbers if number > 0),
    )


def _shifts(left: SideScan, right: SideScan, stretches: Sequence[Stretch]) -> Iterator[Finding]:
    """With equal line counts, stretches of lines in which the sides are not aligned."""
    if left.lines != right.lines:
        return
    misaligned = [part for part in stretches if part.offset != 0]
    if not misaligned:
        return
    lines = sum(part.last - part.first + 1 for part in misaligned)
    examples = "; ".join(_describe_stretch(part) for part in misaligned[:EXAMPLES])
    more = f"; and {len(misaligned) - EXAMPLES} more" if len(misaligned) > EXAMPLES else ""
    yield Finding(
        "shifted",
        "warning",
        f"the sides do not seem aligned in {counted(lines, 'line')}: {examples}{more}",
        lines,
        "compare the sides there: a line missing on one side shifts all lines after it",
        tuple(
            Example(part.first + step)
            for part in misaligned[:1]
            for step in (-1, 0, 1)
            if part.first + step > 0
        ),
    )


def _describe_stretch(part: Stretch) -> str:
    where = f"lines {part.first:,} to {part.last:,}"
    if part.offset is None:
        return f"{where} match no lines nearby"
    words = f"{counted(abs(part.offset), 'line')} {'later' if part.offset > 0 else 'earlier'}"
    return f"{where} match targets {words}"


def _unrelated(
    correlation: float | None, stretches: Sequence[Stretch], pairs: int
) -> Iterator[Finding]:
    if correlation is None or pairs < ENOUGH_LINES or correlation >= LOWEST_CORRELATION:
        return
    if [part.offset for part in stretches] != [0]:
        return  # another finding says so
    yield Finding(
        "unrelated",
        "warning",
        "the lengths of source and target lines have nothing to do with each other "
        f"(correlation {correlation:.2f})",
        pairs,
        "are these two sides of one corpus, in the same order?",
        tuple(Example(number) for number in (1, 2, 3)),
    )


def _identical_sides(same: bool, copies: Copies, pairs: int) -> Iterator[Finding]:
    count = len(copies.identical)
    examples = tuple(Example(number) for number in copies.identical[:EXAMPLES].tolist())
    if same:
        yield Finding(
            "same-file",
            "warning",
            "source and target are the same file",
            pairs,
            "name two files, or continue if the model is to learn copying",
        )
    elif count:
        share = count / pairs
        yield Finding(
            "identical",
            "warning" if share > MANY_IDENTICAL else "note",
            f"in {counted(count, 'pair')} ({percent(share)}) source and target are identical",
            count,
            "untranslated lines teach a model to copy" if share > MANY_IDENTICAL else "",
            examples,
        )


def _suspect_encodings(sides: Sequence[SideScan]) -> Iterator[Finding]:
    for side in sides:
        twice, lost = side.encoded_twice, side.lost_characters
        if twice.count:
            yield Finding(
                "encoded-twice",
                _encoding_severity(twice.count, side),
                f"{counted(twice.count, 'line')} of {side.name} may be encoded twice",
                twice.count,
                "UTF-8 was read as Latin-1 or Windows-1252 and written as UTF-8 again: "
                "undo it with `iconv -f UTF-8 -t CP1252`, or get the text again",
                twice.as_examples(),
            )
        if lost.count:
            yield Finding(
                "lost-characters",
                _encoding_severity(lost.count, side),
                f"{counted(lost.count, 'line')} of {side.name} "
                f"{plural(lost.count, 'has', 'have')} lost characters (U+FFFD)",
                lost.count,
                "these pairs are dropped; the original text may still have the characters",
                lost.as_examples(),
            )


def _encoding_severity(lines: int, side: SideScan) -> Severity:
    return "warning" if lines > MANY_SUSPECT_ENCODINGS * side.lines else "note"


def _dropped_pairs(cleaning: CleaningReport, left: SideScan, right: SideScan) -> Iterator[Finding]:
    if not cleaning.read:
        return
    if not cleaning.kept:
        yield Finding(
            "no-usable-pairs",
            "fault",
            f"cleaning would drop every pair ({counted(cleaning.read, 'pair')} read)",
            cleaning.dropped,
            "the reasons are listed under “cleaning”; the limits are settings of section data",
        )
    elif cleaning.dropped > MANY_DROPPED * cleaning.read:
        yield Finding(
            "many-dropped",
            "warning",
            f"cleaning would drop {counted(cleaning.dropped, 'pair')} "
            f"({percent(cleaning.dropped / cleaning.read)})",
            cleaning.dropped,
            "the reasons are listed under “cleaning”",
        )
    for side, other in ((left, right), (right, left)):
        alone = cleaning.reasons[f"{'source' if side is left else 'target'} blank"]
        if alone > MANY_SUSPECT_ENCODINGS * cleaning.read and alone > EXAMPLES:
            yield Finding(
                "blank-on-one-side",
                "note",
                f"{counted(alone, 'line')} of {side.name} {plural(alone, 'is', 'are')} "
                f"blank where {other.name} is not",
                alone,
            )


def _repetitions(copies: Copies, pairs: int) -> Iterator[Finding]:
    if copies.duplicates:
        share = copies.duplicates / pairs
        most = Example(copies.commonest, remark=f"{copies.most:,} times")
        yield Finding(
            "duplicates",
            "warning" if share > MANY_REPEATED else "note",
            f"{counted(copies.duplicates, 'pair')} ({percent(share)}) repeat an earlier pair",
            copies.duplicates,
            "a model memorises repeated pairs" if share > MANY_REPEATED else "",
            (most,),
        )
    if copies.ambiguous:
        yield Finding(
            "ambiguous",
            "note",
            f"{counted(copies.ambiguous, 'source line')} "
            f"{plural(copies.ambiguous, 'has', 'have')} several different targets",
            copies.ambiguous,
            examples=tuple(Example(number) for number in copies.ambiguous_lines),
        )


def _odd_characters(sides: Sequence[SideScan]) -> Iterator[Finding]:
    for side in sides:
        if side.line_breaks.count:
            yield Finding(
                "line-breaks",
                "note",
                f"{counted(side.line_breaks.count, 'line')} of {side.name} "
                f"{plural(side.line_breaks.count, 'has', 'have')} characters that other programs "
                "take for line ends",
                side.line_breaks.count,
                "seq2seq splits at \\n alone; a program that splits here misaligns the sides",
                side.line_breaks.as_examples(),
            )
        if side.control_characters.count and not side.looks_like_utf16:
            yield Finding(
                "control-characters",
                "note",
                f"{counted(side.control_characters.count, 'line')} of {side.name} "
                f"{plural(side.control_characters.count, 'has', 'have')} control characters",
                side.control_characters.count,
                examples=side.control_characters.as_examples(),
            )


def _harmless_details(sides: Sequence[SideScan]) -> Iterator[Finding]:
    for side in sides:
        if side.has_bom:
            yield Finding(
                "byte-order-mark",
                "note",
                f"{side.name} starts with a byte-order mark, which is removed",
                1,
            )
        if side.carriage_returns:
            yield Finding(
                "carriage-returns",
                "note",
                f"{counted(side.carriage_returns, 'line')} of {side.name} "
                f"{plural(side.carriage_returns, 'ends', 'end')} in \\r\\n, "
                "as on Windows; the \\r is removed",
                side.carriage_returns,
            )
