"""Findings about text that a tool has changed: segmented, tokenised, escaped or lower-cased."""

from collections.abc import Iterator, Sequence

from data.health.report import Example, Finding
from data.health.side_scan import EXAMPLES, SideScan
from seq2seq.system.plain_text import SIGNS, other_case, scan


def not_plain_text(sides: Sequence[SideScan]) -> Iterator[Finding]:
    """Text as another tool left it: a model writes what it was trained on."""
    for side in sides:
        worth_a_warning = {sign.code for sign, _ in side.plain_text.found()}
        for sign in SIGNS:
            counts = side.plain_text.counts[sign.code]
            few = sign.code not in worth_a_warning
            if not counts.count or (few and sign.code != "escaped"):
                continue
            unescape = "`preprocess --set data.unescape=true`, or " * (sign.code == "escaped")
            yield Finding(
                sign.code,
                "note" if few else "warning",
                side.plain_text.describe(sign, f"lines of {side.name}"),
                counts.count,
                f"a model reads and writes text like that of its training; {unescape}{sign.undo}",
                tuple(
                    Example(line, remark=f"{side.name}:{line}: “{excerpt}”")
                    for line, excerpt in counts.examples
                ),
            )


def unequal_cases(left: SideScan, right: SideScan) -> Iterator[Finding]:
    """One side all in lower or upper case, where the other side has both cases."""
    for side, other in ((left, right), (right, left)):
        if case := other_case(side.plain_text, other.plain_text):
            yield Finding(
                "other-case",
                "warning",
                f"{side.name} is all {case} case, {other.name} is not",
                side.plain_text.cased,
                "get the text with both cases; else make both sides lower case, and evaluate with "
                "--lowercase: `python3 -c 'import sys; sys.stdin.reconfigure(newline=chr(10)); "
                "sys.stdout.writelines(map(str.lower, sys.stdin))' < FILE > NEW`",
                tuple(Example(number) for number in range(1, EXAMPLES + 1)),
            )


def changed_validation_text(sources: Sequence[str], targets: Sequence[str]) -> list[Finding]:
    """Signs of other tools in the validation set, which is like the training text as a rule."""
    sides = scan(sources), scan(targets)
    found = [
        Finding(
            sign.code,
            "warning",
            side.describe(sign, f"{name} of the validation set"),
            counts.count,
            "if the training text is like them, so will translations be, and BLEU is not "
            "comparable: `seq2seq check` says how to undo it",
        )
        for name, side in zip(("sources", "targets"), sides, strict=True)
        for sign, counts in side.found()
    ]
    for name, (side, other) in zip(("sources", "targets"), (sides, sides[::-1]), strict=True):
        if case := other_case(side, other):
            message = f"the {name} of the validation set are all {case} case, the other side is not"
            advice = "use text with both cases, or with one case on both sides"
            found.append(Finding("other-case", "warning", message, side.cased, advice))
    return found
