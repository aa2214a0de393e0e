"""Emoji names in 14 languages, with two test sets that each measure one thing.

`new-combinations`: does the model combine known parts in a way that training does not have?
`new-names`: what does it do with a name that it has never seen? Emoji are split, not names, so that
the split is the same for every pair of languages; held-out pairs whose name in either language also
occurs in training are dropped afterwards.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from typing import Any, NamedTuple

from data.catalogue.entry import Entry, FetchedCorpus, Notify, fold_text
from data.corpus import SentencePair
from seq2seq.errors import ConfigError
from seq2seq.system.streams import uniform_hash

LANGUAGES = ("en", "de", "fr", "es", "it", "pt", "ru", "tr", "id", "ja", "ko", "zh", "ar", "fa")

NEW_COMBINATIONS, NEW_NAMES, VALID = 300, 200, 200  # pairs to draw for each held-out set

_VS16, _ZWJ = "\ufe0f", "\u200d"
_TONES = {
    "🏻": "light skin",
    "🏼": "medium-light skin",
    "🏽": "medium skin",
    "🏾": "medium-dark skin",
    "🏿": "dark skin",
}
_ADULTS = {"👨": "man", "👩": "woman", "🧑": "person"}
_CHILDREN = {"👦": "boy", "👧": "girl", "🧒": "child"}
_JOINED = {  # modifiers after a zero-width joiner; elsewhere they are emoji themselves
    "♂": "man",
    "♀": "woman",
    "🦰": "red hair",
    "🦱": "curly hair",
    "🦳": "white hair",
    "🦲": "bald",
    "➡": "facing right",
}
# Older single characters with the meaning of a sequence.
_SYNONYMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "👫": ("🧑🤝🧑", ("woman", "man")),
    "👬": ("🧑🤝🧑", ("man", "man")),
    "👭": ("🧑🤝🧑", ("woman", "woman")),
    "💏": ("🧑❤💋🧑", ()),
    "💑": ("🧑❤🧑", ()),
    "👯": ("🧑🐰🧑", ()),
    "🤼": ("🧑\U0001faef🧑", ()),
    "👴": ("🧓", ("man",)),
    "👵": ("🧓", ("woman",)),
    "🎅": ("🧑🎄", ("man",)),
    "🤶": ("🧑🎄", ("woman",)),
}
_FEWEST_IN_TRAINING = 2  # emoji of a base, and bases with a modifier, that are not held out


class Anatomy(NamedTuple):
    """The parts of an emoji, such as juggling; woman, medium skin."""

    base: str
    modifiers: tuple[str, ...]  # gender, skin tone, hair and direction, in the emoji's order


def fetch(
    source_language: str, target_language: str, *, location: str | None, notify: Notify
) -> FetchedCorpus:
    """Raises ConfigError for a location: the names come with an installed package."""
    if location is not None:
        raise ConfigError(
            f"emoji is embedded: there is nothing to read from {location}", hint="leave --from out"
        )
    return FetchedCorpus(
        splits=emoji_splits(source_language, target_language),
        origin={"package": "emoji", "version": version("emoji")},
    )


ENTRY = Entry(
    name="emoji",
    summary="names of emoji: short, compositional, any pair of 14 languages",
    pairs=3972,
    held_out=("valid", "new-combinations", "new-names"),
    languages=LANGUAGES,
    source_language="en",
    target_language="de",
    terms="Unicode licence (names), BSD-3-Clause (package): free to use",
    origin="the emoji package, installed with seq2seq",
    download_bytes=0,
    fetch=fetch,
)


def emoji_splits(source_language: str, target_language: str) -> dict[str, list[SentencePair]]:
    """Pairs of names for train, valid, new-combinations and new-names, each in a fixed order.

    No name of a held-out set, in either language, is in train, and none of the two test sets is in
    valid; case does not count. No pair occurs twice.
    """
    names = _names_of((source_language, target_language))
    splits: dict[str, list[SentencePair]] = {}
    sources: set[str] = set()
    targets: set[str] = set()
    for split, members in partition().items():
        pairs = dict.fromkeys(
            SentencePair(names[source_language, emoji], names[target_language, emoji])
            for emoji in members
        )
        splits[split] = [
            pair
            for pair in pairs
            if fold_text(pair.source) not in sources and fold_text(pair.target) not in targets
        ]
        sources.update(fold_text(pair.source) for pair in splits[split])
        targets.update(fold_text(pair.target) for pair in splits[split])
    return {split: splits[split] for split in ("train", *ENTRY.held_out)}


@cache
def partition() -> dict[str, tuple[str, ...]]:
    """The emoji of each split."""
    from emoji import EMOJI_DATA, STATUS

    whole = (STATUS["fully_qualified"], STATUS["component"])
    everything = {
        emoji: anatomy(emoji) for emoji, entry in EMOJI_DATA.items() if entry["status"] in whole
    }
    new_names = _draw_names(everything)
    rest = {emoji: parts for emoji, parts in everything.items() if emoji not in new_names}
    drawn = _draw_combinations(rest, NEW_COMBINATIONS + VALID)
    held_out = {*new_names, *drawn}
    return {
        "train": tuple(_shuffled(emoji for emoji in everything if emoji not in held_out)),
        "new-names": tuple(_shuffled(new_names)),
        "new-combinations": tuple(drawn[:NEW_COMBINATIONS]),
        "valid": tuple(drawn[NEW_COMBINATIONS:]),
    }


def anatomy(emoji: str) -> Anatomy:
    """Split an emoji's code points into its base and its modifiers."""
    elements = [element for element in emoji.replace(_VS16, "").split(_ZWJ) if element]
    bare = [element.rstrip("".join(_TONES)) or element for element in elements]
    if len(bare) > 1 and all(element in _ADULTS or element in _CHILDREN for element in bare):
        members = (_ADULTS.get(element) or _CHILDREN[element] for element in bare)
        return Anatomy("👪", tuple(members))
    base: list[str] = []
    modifiers: list[str] = []
    for index, (element, stem) in enumerate(zip(elements, bare, strict=True)):
        if index > 0 and stem in _JOINED:
            modifiers.append(_JOINED[stem])
        elif stem in _ADULTS:
            base.append("🧑")
            modifiers.append(_ADULTS[stem])
        else:
            synonym, implied = _SYNONYMS.get(stem, (stem, ()))
            base.append(synonym)
            modifiers.extend(implied)
        modifiers.extend(_TONES[tone] for tone in element[len(stem) :])
    return Anatomy("".join(base), tuple(modifiers))


def _draw_names(everything: dict[str, Anatomy]) -> set[str]:
    """Draw bases with all their variants until there are enough emoji."""
    variants: dict[str, list[str]] = defaultdict(list)
    for emoji, parts in everything.items():
        variants[parts.base].append(emoji)
    drawn: set[str] = set()
    for base in _shuffled(variants):
        if base in _TONES or base in _JOINED or base in _ADULTS:
            continue  # names of modifiers, which combinations contain
        if len(drawn) + len(variants[base]) <= NEW_NAMES:
            drawn.update(variants[base])
    return drawn


def _draw_combinations(rest: dict[str, Anatomy], count: int) -> list[str]:
    """Draw emoji whose base stays in training in other forms, and whose modifiers with others."""
    remaining = Counter(parts.base for parts in rest.values())
    pair_counts = Counter(
        (modifier, parts.base) for parts in rest.values() for modifier in set(parts.modifiers)
    )
    bases_of: dict[str, set[str]] = defaultdict(set)  # modifier -> bases with it in training
    for modifier, base in pair_counts:
        bases_of[modifier].add(base)
    forms = Counter(rest.values())  # two emoji of one anatomy are two spellings of one thing
    drawn: list[str] = []
    for emoji in _shuffled(rest):
        base, modifiers = rest[emoji]
        if len(drawn) == count:
            break
        if (
            not modifiers
            or forms[rest[emoji]] > 1
            or remaining[base] <= _FEWEST_IN_TRAINING
            or any(len(bases_of[modifier] - {base}) < _FEWEST_IN_TRAINING for modifier in modifiers)
            or any(_leaves_too_few(bases_of, pair_counts, modifier, base) for modifier in modifiers)
        ):
            continue
        drawn.append(emoji)
        remaining[base] -= 1
        for modifier in set(modifiers):
            pair_counts[modifier, base] -= 1
            if not pair_counts[modifier, base]:
                bases_of[modifier].discard(base)
    return drawn


def _leaves_too_few(
    bases_of: dict[str, set[str]], pair_counts: Counter[tuple[str, str]], modifier: str, base: str
) -> bool:
    """Whether this draw would leave the modifier with too few bases in training."""
    return pair_counts[modifier, base] == 1 and len(bases_of[modifier]) <= _FEWEST_IN_TRAINING + 1


def _shuffled(keys: Iterable[str]) -> list[str]:
    return sorted(keys, key=lambda key: (uniform_hash(f"emoji:{key.replace(_VS16, '')}"), key))


def _names_of(languages: Iterable[str]) -> dict[tuple[str, str], str]:
    import emoji

    wanted = list(dict.fromkeys(languages))
    emoji.config.load_language(wanted)
    data: dict[str, dict[str, Any]] = emoji.EMOJI_DATA
    return {
        (language, character): natural(data[character][language], language)
        for members in partition().values()
        for character in members
        for language in wanted
    }


def natural(name: str, language: str) -> str:
    """The name in plain text, without colons and underscores; case and words are kept."""
    text = " ".join(name.strip(":").replace("_", " ").split())
    text = re.sub(r",(?=\w)", ", ", text)
    return _with_short_i(text) if language == "ru" else text


# The package lost the breve of many a Russian "й" (it has both "среднии" and "средний"): restore it
# where "и" is impossible. Genitives ("территории", "вибрации") keep their "и".
_LOST_BREVE = re.compile(
    r"(?<=[еоуы])и\b|(?<=[кщш]и)и(?=\b|ся\b)|(?<=средни)и\b"
    r"|(?<=е)и(?=ск)|(?<=студи)и(?=н)|(?<=а)и(?=[дмн]ер)|(?<=о)и(?=ка\b|стик)"
)


def _with_short_i(text: str) -> str:
    return _LOST_BREVE.sub("й", text)
