"""Word links that people drew, and links of two directions made one: files, symmetrisation."""

import re
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from typing import Literal, TypeAlias

from seq2seq.errors import CorpusError
from seq2seq.evaluation.alignment import Link
from seq2seq.system.pharaoh import parse_entries

Symmetrization: TypeAlias = Literal["intersection", "union", "grow-diag-final-and"]

_NEIGHBOURS = ((-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))
_NAACL = re.compile(
    r"\s*([0-9]{1,9})\s+([0-9]{1,9})\s+([0-9]{1,9})(?:\s+([SPsp]))?(?:\s+[0-9.]+)?\s*"
)


@dataclass(frozen=True, slots=True)
class ReferenceLinks:
    """The links that people drew in one sentence, from 0; those that are sure are possible too."""

    sure: frozenset[Link] = frozenset()
    possible: frozenset[Link] = frozenset()


def parse_reference_links(
    lines: Sequence[str], *, name: str, sentences: int, base: int | None = None
) -> list[ReferenceLinks]:
    """The links of a file, one value for each sentence.

    Pharaoh: a sentence a line, `i-j` a sure link and `i?j` or `ipj` a possible one, source word
    first, counted from 0. NAACL, the format of Mihalcea & Pedersen (2003): a link a line, its
    sentence, source word and target word, perhaps S or P and a confidence, all counted from 1;
    word 0 is the empty word, whose links count nothing. `base` is the number of the first word
    where it is another. Raises CorpusError, with `name` and line, for anything else.
    """
    filled = [line for line in lines if line.strip()]
    if filled and all(_NAACL.fullmatch(line) for line in filled):
        return _parse_naacl(lines, name=name, sentences=sentences, base=1 if base is None else base)
    if len(lines) != sentences:
        raise CorpusError(
            f"{name} has links of {len(lines):,} sentences, but the text has {sentences:,}",
            hint="line n has the links of line n of the text, and is blank where there is none",
        )
    return [
        _parse_pharaoh(line, where=f"{name}:{number}", base=base or 0)
        for number, line in enumerate(lines, start=1)
    ]


def refuse_links_beyond(
    references: Sequence[ReferenceLinks], sizes: Sequence[tuple[int, int]], *, name: str
) -> None:
    """Raises CorpusError for a link of a word that its sentence does not have.

    sizes: words of source and target of each sentence
    """
    for number, (links, (source, target)) in enumerate(
        zip(references, sizes, strict=True), start=1
    ):
        for i, j in sorted(links.sure | links.possible):
            if i >= source or j >= target:
                raise CorpusError(
                    f"{name}: sentence {number} has a link of source word {i + 1} and target word "
                    f"{j + 1}, but only {source} source and {target} target words",
                    hint="the file seems to count words from 1: `seq2seq align` takes --gold-base "
                    "1, and elsewhere words are counted from 0"
                    if _fit(references, sizes, base=1)
                    else "a link names the source word first, and words are what stands between "
                    "spaces",
                )


def _fit(
    references: Sequence[ReferenceLinks], sizes: Sequence[tuple[int, int]], *, base: int
) -> bool:
    """Whether all links are of words that their sentences have, counted from `base`."""
    return all(
        base <= i < source + base and base <= j < target + base
        for links, (source, target) in zip(references, sizes, strict=True)
        for i, j in links.sure | links.possible
    )


def symmetrize(forward: Set[Link], backward: Set[Link], method: Symmetrization) -> set[Link]:
    """One set of links of those of two directions, both as (source, target).

    grow-diag-final-and: Koehn et al. (2005), "Edinburgh system description for the 2005 IWSLT
    speech translation evaluation", section 2: the intersection, then links of the union beside
    links of the alignment, also diagonally, one of whose words has no link yet; then links of
    either direction both of whose words have none.
    """
    if method == "intersection":
        return {*forward} & {*backward}
    if method == "union":
        return {*forward} | {*backward}
    return _grow_diag_final_and(forward, backward)


def _grow_diag_final_and(forward: Set[Link], backward: Set[Link]) -> set[Link]:
    union, links = forward | backward, {*(forward & backward)}
    sources, targets = {i for i, _ in links}, {j for _, j in links}

    def add(link: Link) -> None:
        links.add(link)
        sources.add(link[0])
        targets.add(link[1])

    before = -1
    while len(links) > before:
        before = len(links)
        for i, j in sorted(union):
            if (i, j) not in links:
                continue
            for down, right in _NEIGHBOURS:
                beside = (i + down, j + right)
                if beside in union and (beside[0] not in sources or beside[1] not in targets):
                    add(beside)
    for direction in (forward, backward):
        for link in sorted(direction):
            if link[0] not in sources and link[1] not in targets:
                add(link)
    return links


def _parse_pharaoh(line: str, *, where: str, base: int) -> ReferenceLinks:
    try:
        entries = parse_entries(line)
    except CorpusError as error:
        raise CorpusError(
            f"{where}: {error.message}",
            hint="links look like `0-0 2-1 3?1`: source word, - for a sure or ? for a possible "
            "link, target word; or NAACL's `1 3 2 S`, one link a line",
        ) from error
    sure, possible = set[Link](), set[Link]()
    for source, target, mark in entries:
        if min(source, target) < base:
            raise CorpusError(
                f"{where}: '{source}{mark}{target}' links a word before word {base}",
                hint="the file seems to count words from 0: leave --gold-base out",
            )
        (sure if mark == "-" else possible).add((source - base, target - base))
    return ReferenceLinks(frozenset(sure), frozenset(possible))


def _parse_naacl(
    lines: Iterable[str], *, name: str, sentences: int, base: int
) -> list[ReferenceLinks]:
    found: dict[int, tuple[set[Link], set[Link]]] = {}
    for number, line in enumerate(lines, start=1):
        match = _NAACL.fullmatch(line)
        if match is None:
            continue  # a blank line
        sentence, source, target = int(match[1]), int(match[2]), int(match[3])
        if not 1 <= sentence <= sentences:
            raise CorpusError(
                f"{name}:{number}: there is no sentence {sentence}, the text has {sentences:,}",
                hint="sentences are counted from 1, as lines of the text are",
            )
        sure, possible = found.setdefault(sentence, (set(), set()))
        if base == 1 and 0 in (source, target):
            continue  # the empty word
        (possible if match[4] in ("P", "p") else sure).add((source - base, target - base))
    return [
        ReferenceLinks(*map(frozenset, found.get(sentence, (frozenset(), frozenset()))))
        for sentence in range(1, sentences + 1)
    ]
