"""Emoji names: parsed correctly, and split without leaks, in every language."""

from collections import Counter

import emoji
import pytest

from data.catalogue.emoji_names import (
    LANGUAGES,
    Anatomy,
    anatomy,
    emoji_splits,
    natural,
    partition,
)
from data.catalogue.entry import fold_text

HELD_OUT = ("valid", "new-combinations", "new-names")
EACH_LANGUAGE_ONCE = tuple(zip(LANGUAGES[::2], LANGUAGES[1::2], strict=True))


def test_the_languages_are_those_of_the_package():
    assert set(LANGUAGES) == set(emoji.LANGUAGES)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("rocket", Anatomy("🚀", ())),
        ("woman_astronaut_medium_skin_tone", Anatomy("🧑🚀", ("woman", "medium skin"))),
        ("astronaut", Anatomy("🧑🚀", ("person",))),
        ("man_juggling", Anatomy("🤹", ("man",))),
        ("person_juggling_dark_skin_tone", Anatomy("🤹", ("dark skin",))),
        ("male_sign", Anatomy("♂", ())),
        ("red_hair", Anatomy("🦰", ())),
        ("light_skin_tone", Anatomy("🏻", ())),
        ("woman_medium_skin_tone_red_hair", Anatomy("🧑", ("woman", "medium skin", "red hair"))),
        ("woman_running_facing_right", Anatomy("🏃", ("woman", "facing right"))),
        ("family_man_woman_girl", Anatomy("👪", ("man", "woman", "girl"))),
        ("family", Anatomy("👪", ())),
        ("men_holding_hands", Anatomy("🧑🤝🧑", ("man", "man"))),
        (
            "woman_and_man_holding_hands_dark_skin_tone_light_skin_tone",
            Anatomy("🧑🤝🧑", ("woman", "dark skin", "man", "light skin")),
        ),
        ("old_woman_light_skin_tone", Anatomy("🧓", ("woman", "light skin"))),
        ("keycap_#", Anatomy("#\u20e3", ())),
        ("Germany", Anatomy("🇩🇪", ())),
        ("polar_bear", Anatomy("🐻❄", ())),
    ],
)
def test_an_emoji_is_split_into_base_and_modifiers(name: str, expected: Anatomy):
    character = emoji.emojize(f":{name}:")
    assert anatomy(character) == expected
    assert anatomy(character.replace("\ufe0f", "")) == expected


def test_every_whole_emoji_is_in_exactly_one_split():
    counted = Counter(member for members in partition().values() for member in members)
    whole = {e for e, entry in emoji.EMOJI_DATA.items() if entry["status"] in (1, 2)}
    assert set(counted) == whole
    assert set(counted.values()) == {1}


def test_the_split_does_not_depend_on_the_order_of_the_package(monkeypatch: pytest.MonkeyPatch):
    backwards = dict(reversed(emoji.EMOJI_DATA.items()))
    assert list(backwards) != list(emoji.EMOJI_DATA)
    monkeypatch.setattr(emoji, "EMOJI_DATA", backwards)
    assert partition.__wrapped__() == partition()


@pytest.mark.parametrize("split", ["new-combinations", "valid"])
def test_a_new_combination_has_known_parts_that_were_never_together(split: str):
    train = {anatomy(member) for member in partition()["train"]}
    bases = Counter(parts.base for parts in train)
    company: dict[str, set[str]] = {}
    for parts in train:
        for modifier in parts.modifiers:
            company.setdefault(modifier, set()).add(parts.base)
    for member in partition()[split]:
        parts = anatomy(member)
        assert parts not in train
        assert parts.modifiers
        assert bases[parts.base] >= 2, member
        for modifier in parts.modifiers:
            assert len(company[modifier] - {parts.base}) >= 2, (member, modifier)


def test_a_new_name_has_a_base_that_no_other_split_has():
    bases = {split: {anatomy(m).base for m in members} for split, members in partition().items()}
    for split in ("train", "valid", "new-combinations"):
        assert bases["new-names"].isdisjoint(bases[split])


@pytest.mark.parametrize(("source", "target"), EACH_LANGUAGE_ONCE)
def test_no_held_out_name_is_in_training_in_either_language(source: str, target: str):
    splits = emoji_splits(source, target)
    train = splits["train"]
    sources = {fold_text(pair.source) for pair in train}
    targets = {fold_text(pair.target) for pair in train}
    for split in HELD_OUT:
        assert sources.isdisjoint(fold_text(pair.source) for pair in splits[split])
        assert targets.isdisjoint(fold_text(pair.target) for pair in splits[split])
    tests = [*splits["new-combinations"], *splits["new-names"]]
    assert {fold_text(p.source) for p in splits["valid"]}.isdisjoint(
        fold_text(p.source) for p in tests
    )
    assert {fold_text(p.target) for p in splits["valid"]}.isdisjoint(
        fold_text(p.target) for p in tests
    )


@pytest.mark.parametrize(("source", "target"), EACH_LANGUAGE_ONCE)
def test_names_are_plain_lines_and_no_pair_is_there_twice(source: str, target: str):
    pairs = [pair for split in emoji_splits(source, target).values() for pair in split]
    assert max(Counter(pairs).values()) == 1
    for name in (name for pair in pairs for name in pair):
        assert name and name == " ".join(name.split())
        assert not set(name) & set(":_\n\r")


@pytest.mark.parametrize(("source", "target"), EACH_LANGUAGE_ONCE)
def test_the_splits_are_as_large_as_promised(source: str, target: str):
    sizes = {split: len(pairs) for split, pairs in emoji_splits(source, target).items()}
    assert tuple(sizes) == ("train", *HELD_OUT)
    assert sizes["train"] > 3_000
    assert 250 <= sizes["new-combinations"] <= 300
    assert 150 <= sizes["new-names"] <= 200
    assert 150 <= sizes["valid"] <= 200


def test_a_name_that_training_has_in_one_language_is_not_tested(monkeypatch: pytest.MonkeyPatch):
    before = emoji_splits("en", "de")
    held, trained = partition()["new-names"][0], partition()["train"][0]
    same = {"en": "a name of its own", "de": emoji.EMOJI_DATA[trained]["de"].upper()}
    changed = {**emoji.EMOJI_DATA, held: {**emoji.EMOJI_DATA[held], **same}}
    monkeypatch.setattr(emoji, "EMOJI_DATA", changed)
    assert len(emoji_splits("en", "de")["new-names"]) == len(before["new-names"]) - 1


def test_the_other_direction_has_the_same_pairs_with_their_sides_swapped():
    forth, back = emoji_splits("en", "ja"), emoji_splits("ja", "en")
    for split, pairs in forth.items():
        assert [(pair.target, pair.source) for pair in pairs] == back[split]


@pytest.mark.parametrize(
    ("name", "language", "expected"),
    [
        (":woman_juggling_medium_skin_tone:", "en", "woman juggling medium skin tone"),
        (":keycap_#:", "en", "keycap #"),
        (":frau_helle_hautfarbe,dunkle_hautfarbe:", "de", "frau helle hautfarbe, dunkle hautfarbe"),
        (":آب_نبات_:", "fa", "آب نبات"),
        (":ジャグリングをする女_中間の肌色:", "ja", "ジャグリングをする女 中間の肌色"),
        (":мужчина-полицеискии_среднии_тон_кожи:", "ru", "мужчина-полицейский средний тон кожи"),
        (":нахмурившиися_с_рукои:", "ru", "нахмурившийся с рукой"),
        (":французские_территории_Японии:", "ru", "французские территории Японии"),
    ],
)
def test_a_name_becomes_what_a_person_would_write(name: str, language: str, expected: str):
    assert natural(name, language) == expected
