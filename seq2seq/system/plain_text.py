"""Signs that lines are not plain text: another tool changed it, or keeps more than text in them.

The thresholds are shares of the lines that are not blank. In the six corpora on which they were
tried, 0.13 % of the lines of a plain side at most had punctuation apart from its word, by mistake,
and no line had a sign of segmentation; 95 % of the lines of the one tokenised side were found.
"""

import html
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from seq2seq.system.figures import percent

EXAMPLES = 3  # of each sign
_AROUND = 12  # characters shown on either side of a sign
_ONLY, _MIXED = 0.99, 0.5  # shares of lines in one case, and of a side that has both cases
_FEWEST_CASED = 20  # lines with letters of a script that has cases, on both sides

_MOST_TIMES = 8  # that text is escaped; a line of &amp;amp;amp;... must not take for ever
_ENTITY = re.compile(r"&(?:[A-Za-z][A-Za-z0-9]{1,31}|#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6});")


@dataclass(frozen=True, slots=True)
class Sign:
    """A pattern by which a tool's changes of a line are known, and the command that undoes them."""

    code: str
    description: str  # after the name of the lines
    pattern: re.Pattern[str]
    required: tuple[str, ...]  # a line without any of these has no match; fast to search
    share: float  # of the lines, from which it is worth a warning
    undo: str
    fewest: int = 1  # lines: one line may begin with a number


SIGNS = (
    Sign(
        "bpe-segmented",
        "look like subword pieces of BPE",
        re.compile(r"\S@@(?= |$)"),
        ("@@",),
        0.05,
        "join them: `sed -E 's/@@( |$)//g' FILE > NEW`",
    ),
    Sign(
        "sentencepiece-segmented",
        "look like subword pieces of SentencePiece",
        re.compile("▁"),
        ("▁",),
        0.05,
        "join them: `sed -E 's/ //g; s/▁/ /g; s/^ //' FILE > NEW`",
    ),
    Sign(
        "wordpiece-segmented",
        "look like subword pieces of WordPiece",
        re.compile(r"(?<=\w) ##(?=\w)"),
        (" ##",),
        0.05,
        "join them: `sed 's/ ##//g' FILE > NEW`",
    ),
    # French has a space before ? and !, Dutch writes 's and 't apart: these are no signs.
    Sign(
        "tokenised",
        "look tokenised, with spaces around punctuation",
        re.compile(
            r"""(?<=[^\s@])\s[.。]$|(?<=\w) ,(?= |$)|(?<=\w) (?:n't|'(?:re|ve|ll))(?= |$)"""
            r"""|\b(?:do|ca|wo|did|does|is|was|are|could|would)n 't\b|(?<=\S) @-@ (?=\S)"""
            r"""|(?:^| )" \S.* "(?: |$)"""
        ),
        (".", "。", ",", "'", '"', "@"),
        0.1,
        "undo it: `sacremoses -l en detokenize < FILE > NEW` (pip install sacremoses; -l is the "
        "language)",
    ),
    Sign(
        "escaped",
        "have escaped characters",
        _ENTITY,
        ("&",),
        0.01,
        "undo it: `python3 -c 'import html, sys; sys.stdin.reconfigure(newline=chr(10)); "
        "sys.stdout.writelines(chr(32).join(html.unescape(html.unescape(line)).split()) + chr(10) "
        "for line in sys.stdin)' < FILE > NEW`",
    ),
    Sign(
        "columns",
        "have columns separated by tabs",
        re.compile("\\S\t.*\\S"),
        ("\t",),
        0.5,
        "write each column into a file: `cut -f1 FILE > NEW`, -f2 for the second",
        fewest=10,
    ),
    Sign(
        "numbered",
        "begin with the number of a line or a verse",
        re.compile(r"^\s*(?:(?:[1-3] ?)?[^\W\d_]{2,}\.? )?\d+(?:[:.]\d+)?[.):]?[ \t]+(?=\S)"),
        tuple("0123456789"),
        0.5,
        "take it away: `sed -E 's/^[[:space:]]*(([1-3] ?)?[[:alpha:]]{2,}\\.? )?[0-9]+"
        "([:.][0-9]+)?[.):]?[[:space:]]+//' FILE > NEW`",
        fewest=10,
    ),
    Sign(
        "json",
        "are JSON, not text",
        re.compile(r"^(?:\{\s*\".*\}|\[.*\]),?$"),
        ("{", "["),
        0.5,
        "write each text of it into a file: `jq -r .NAME FILE > NEW`, such as .translation.de",
        fewest=10,
    ),
    Sign(
        "markup",
        "begin with a tag of XML, such as TMX or SGML",
        re.compile(r"^\s*<[/?!]?[A-Za-z][^<>]*>"),
        ("<",),
        0.5,
        "get the text out of it: `sed -nE 's/.*<seg[^>]*>(.*)<\\/seg>.*/\\1/p' FILE > NEW` if its "
        "sentences are between <seg> and </seg>",
        fewest=10,
    ),
)


@dataclass
class SignCount:
    """The lines that have a sign, and the first few of them."""

    count: int = 0
    examples: list[tuple[int, str]] = field(default_factory=list)  # line number, excerpt


class PlainTextScan:
    """Counts the signs in the lines of one text, added up block by block."""

    def __init__(self) -> None:
        self.read = self.lines = 0  # with and without blank lines
        self.cased = self.without_capitals = self.only_capitals = 0  # lines
        self.counts = {sign.code: SignCount() for sign in SIGNS}

    def add(self, lines: Sequence[str]) -> None:
        """Count the next lines."""
        text = "\n".join(lines)
        self.lines += sum(map(bool, map(str.strip, lines)))
        self._count_cases(lines)
        for sign in SIGNS:
            if any(mark in text for mark in sign.required):
                self._count(sign, lines)
        self.read += len(lines)

    def _count(self, sign: Sign, lines: Sequence[str]) -> None:
        counted = self.counts[sign.code]
        for number, line in enumerate(lines, start=self.read + 1):
            if any(mark in line for mark in sign.required) and (
                found := _first(sign, line.rstrip())
            ):
                counted.count += 1
                if len(counted.examples) < EXAMPLES:
                    counted.examples.append((number, _excerpt(line.rstrip(), found)))

    def _count_cases(self, lines: Sequence[str]) -> None:
        for line in lines:
            small, capital = line.lower(), line.upper()
            if small != capital:
                self.cased += 1
                self.without_capitals += line == small
                self.only_capitals += line == capital

    def found(self) -> Iterator[tuple[Sign, SignCount]]:
        """The signs that are in enough of the lines to be worth a warning."""
        for sign in SIGNS:
            counted = self.counts[sign.code]
            if counted.count >= max(sign.fewest, sign.share * self.lines):
                yield sign, counted

    def describe(self, sign: Sign, lines: str) -> str:
        """How many of the lines, which are called `lines`, have a sign, with an example."""
        counted = self.counts[sign.code]
        return (
            f"{counted.count:,} of {self.lines:,} {lines} ({percent(counted.count / self.lines)}) "
            f"{sign.description}, such as “{counted.examples[0][1]}”"
        )


def scan(lines: Sequence[str]) -> PlainTextScan:
    """The signs in a text that is in memory."""
    found = PlainTextScan()
    found.add(lines)
    return found


def other_case(left: PlainTextScan, right: PlainTextScan) -> str | None:
    """ "lower" or "upper" where `left` is all in that case and `right` has both cases."""
    if min(left.cased, right.cased) < _FEWEST_CASED:
        return None
    if max(right.without_capitals, right.only_capitals) > _MIXED * right.cased:
        return None
    if left.without_capitals >= _ONLY * left.cased:
        return "lower"
    return "upper" if left.only_capitals >= _ONLY * left.cased else None


def unescape(text: str) -> str:
    """Text with the characters that HTML entities stand for, also where they are escaped again.

    An entity has a semicolon: "AT&T" and "&copy" are text. One that stands for a control character,
    such as a line end, becomes a space.
    """
    for _ in range(_MOST_TIMES):
        plain = _ENTITY.sub(_character, text)
        if plain == text:
            break
        text = plain
    return text


def _character(entity: re.Match[str]) -> str:
    name = entity[0]
    found = html.unescape(name)
    if found.endswith(";") and found != ";" and name not in ("&semi;", "&#59;"):
        return name  # &copyx; has an entity only without its semicolon
    is_control = any(unicodedata.category(each) in ("Cc", "Zl", "Zp") for each in found)
    return " " if is_control else found


def _first(sign: Sign, line: str) -> re.Match[str] | None:
    for found in sign.pattern.finditer(line):
        if sign.pattern is not _ENTITY or _character(found) != found[0]:
            return found
    return None


def _excerpt(line: str, found: re.Match[str]) -> str:
    begin, end = max(found.start() - _AROUND, 0), found.end() + _AROUND
    end = min(end, found.start() + 3 * _AROUND)
    return f"{'…' if begin else ''}{line[begin:end]}{'…' if end < len(line) else ''}".strip()
