"""Rules on the text of translations: how a line begins, and which words it may have."""

import itertools
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reruns import new_run, train

from cli.runs.text_rules import forced_text, text_rules
from cli.runs.translator import Translator
from data.corpus import SentencePair
from data.token_store import TokenStore
from seq2seq.config import SearchConfig
from seq2seq.errors import ConfigError, CorpusError
from seq2seq.search.constraints import words_of

LINES = ["ba ce di", "", "fo gu ha je"]


@pytest.fixture(scope="module")
def run(tmp_path_factory, store_path):
    store = TokenStore.open(store_path)
    path = tmp_path_factory.mktemp("runs") / "run"
    made = new_run(path, store, training={"updates": 8}, search={"max_length": 99})
    train(made, store)
    return made


@pytest.fixture(scope="module")
def tokenizer(run):
    return run.tokenizer("target")


def translator(run, **search) -> Translator:
    return Translator.load(run.path, search=search, device="cpu")


@given(st.text(st.sampled_from("abcdefgz ü日."), max_size=12))
def test_ids_spell_the_line_that_they_were_made_of(tokenizer, text):
    ids = tokenizer.encode(text)
    spelled = b"".join(tokenizer.spellings[number] for number in ids)
    assert spelled.decode().removeprefix(" ") == tokenizer.decode(ids)


@pytest.mark.parametrize("prefix", ["di c", "di ce", "d", "kaum 日", "di ce. fo", "zz"])
@pytest.mark.parametrize("settings", [{"beam": 1}, {"beam": 3}, {"sample": True}], ids=str)
def test_every_translation_begins_with_its_prefix(run, prefix, settings):
    lines = [SentencePair(*each) for each in zip(LINES, (prefix, "di", ""), strict=True)]
    n_best = 1 if settings == {"beam": 1} else 3
    found = translator(run, **settings).translate(lines, n_best=n_best)
    assert all(each.text.startswith(prefix) for each in found[0].candidates)
    assert found[1].candidates == ()  # blank in, blank out
    (free,) = translator(run, **settings).translate(LINES[2:])
    assert found[2].text == free.text


def test_a_prefix_may_end_within_a_piece(run, tokenizer):
    di, ce = tokenizer.encode("di"), tokenizer.encode("ce")
    assert len(ce) == 1 and ce[0] not in tokenizer.encode("di c")
    assert forced_text(tokenizer, "di c") == (tuple(di), b" c")
    assert forced_text(tokenizer, "di ") == (tuple(di), b" ")
    assert forced_text(tokenizer, "di 日") == (tuple(di), " 日".encode())
    assert forced_text(tokenizer, " ") is None
    found = translator(run, sample=True).translate([SentencePair("ba ce di", "di c")], n_best=99)
    assert ce[0] in [tokenizer.encode(c.text)[1] for c in found[0].candidates]
    (found,) = translator(run).translate([SentencePair("ba ce di", "di ")])
    assert found.text == "di" or found.text.startswith("di ")


def test_banned_words_are_in_no_translation(run):
    free = translator(run, beam=4).translate(LINES, n_best=4)
    words = sorted({word for line in free for c in line.candidates for word in c.text.split()})
    banned = words[:2]
    assert banned
    for settings in ({"beam": 4}, {"sample": True}):
        found = translator(run, banned_words=banned, **settings).translate(LINES, n_best=4)
        texts = [c.text for line in found for c in line.candidates]
        assert texts and not {*banned} & {word for text in texts for word in text.split()}


def test_what_is_known_of_words_is_kept_for_the_next_lines(run):
    found = translator(run, banned_words=["ba"])
    found.translate(LINES)
    (banned,) = found._rules.words
    shapes = banned.shapes
    found.translate([SentencePair("ba", "di"), *LINES])
    assert banned.shapes is shapes != []


@pytest.mark.parametrize("settings", [{"beam": 1}, {"beam": 4}], ids=str)
def test_every_translation_has_the_required_words(run, settings):
    required = ["ne", "mu pi"]
    found = translator(run, required_words=required, max_length=30, **settings).translate(
        LINES, n_best=settings["beam"]
    )
    assert found[0].candidates and found[2].candidates
    for candidate in [c for line in found for c in line.candidates]:
        assert all(f" {text} " in f" {candidate.text} " for text in required)


def test_required_words_come_after_a_prefix(run):
    lines = [SentencePair("ba ce di", "di ne ")]
    (found,) = translator(run, required_words=["ne", "mu"], max_length=20).translate(lines)
    assert found.text.startswith("di ne ") and "mu" in found.text.split()


def test_only_words_of_the_vocabulary_are_written(run, tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("ba ce\ndi\n")
    found = translator(run, vocabulary=str(path), beam=3).translate(LINES, n_best=3)
    ended = [c.text for line in found for c in line.candidates if c.pieces[-1] == "</s>"]
    assert ended and {word for text in ended for word in words_of(text)} <= {"ba", "ce", "di"}


def test_what_is_no_word_and_what_cannot_be_read_is_refused(run, tmp_path):
    with pytest.raises(ConfigError, match="'ba ce', which is not one word"):
        translator(run, banned_words=["ba ce"])
    with pytest.raises(ConfigError, match="which is not one word"):
        translator(run, banned_words=["!"])
    with pytest.raises(ConfigError, match="required_words has a blank text"):
        translator(run, required_words=["ba", " "])
    with pytest.raises(CorpusError, match="does not exist"):
        translator(run, vocabulary=str(tmp_path / "none"))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match=r"search\.vocabulary is .*, which can be read only once"):
        translator(run, vocabulary=str(tmp_path / "pipe"))
    assert text_rules(run.tokenizer("target"), SearchConfig()) is None


def test_settings_that_contradict_each_other_are_refused(run):
    for settings, message in (
        ({"diverse_groups": 2}, "does not divide a beam of 5"),
        ({"max_length": 2, "min_length": 3}, "max_length is 2"),
        ({"sample": True, "coverage_penalty": 0.1}, "samples are drawn"),
        ({"sample": True, "required_words": ["ba"]}, "samples are drawn"),
        ({"beam": 4, "diverse_groups": 2, "required_words": ["ba"]}, "both divide the beam"),
    ):
        with pytest.raises(ConfigError, match=message):
            translator(run, **settings)


def test_a_coverage_penalty_needs_attention(tmp_path, store):
    plain = new_run(tmp_path / "run", store, model={"attention": "none"}, training={"updates": 1})
    train(plain, store)
    with pytest.raises(ConfigError, match="coverage_penalty needs attention"):
        translator(plain, coverage_penalty=0.2)


def test_lengths_and_ngrams_are_kept(run):
    found = translator(run, min_length=7, max_length=9, no_repeat_ngram=2).translate(
        LINES, n_best=3
    )
    for line in (found[0], found[2]):
        for candidate in line.candidates:
            pieces = [piece for piece in candidate.pieces if piece != "</s>"]
            assert 7 <= len(pieces) <= 9
            pairs = list(itertools.pairwise(pieces))
            assert len(pairs) == len({*pairs})
    (longer,) = translator(run, min_length=40).translate(LINES[:1])
    assert len(longer.candidates[0].pieces) >= 40  # more than twice the source and 20
    half = translator(run, min_length_factor=2.0).translate(LINES)
    assert all(len(half[i].candidates[0].pieces) > 2 * len(half[i].source_ids) for i in (0, 2))
