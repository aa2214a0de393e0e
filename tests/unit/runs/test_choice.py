"""Settings of training chosen from the corpus and the minutes."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from program import call

from cli.runs.choice import ANCHORS, UNLIMITED, CorpusSize, Use, choose_settings, interpolate
from cli.runs.config import load_config, resolve
from cli.runs.training_job import chosen_config, preset_settings
from data.token_store import TokenStore
from seq2seq.training.schedule import FILLED

SIZES = st.integers(min_value=1, max_value=10**8)


def test_at_an_anchor_the_settings_are_those_of_the_anchor():
    for anchor in ANCHORS:
        assert dataclasses.astuple(interpolate(anchor.target_tokens)) == pytest.approx(
            dataclasses.astuple(anchor)
        )


@given(SIZES)
def test_a_setting_lies_between_those_of_the_neighbouring_anchors(tokens):
    found = dataclasses.asdict(interpolate(tokens))
    for name, value in found.items():
        values = [getattr(anchor, name) for anchor in ANCHORS]
        assert min(values) - 1e-9 <= value <= max(values) * (1 + 1e-9)


@given(SIZES)
def test_a_slightly_larger_corpus_gets_nearly_equal_settings(tokens):
    here, there = interpolate(tokens), interpolate(tokens * 1.01)
    for name, value in dataclasses.asdict(here).items():
        least = 0.2 if name == "lexicon" else 0.002
        assert getattr(there, name) == pytest.approx(value, rel=0.02, abs=least), name


@given(SIZES, st.booleans())
def test_every_choice_is_a_valid_configuration_for_every_order_of_attention(tokens, joint):
    for attention in ("none", "luong", "bahdanau", "conditional"):
        choice = choose_settings(
            CorpusSize(tokens, tokens, joint), minutes=None, use=Use(*[attention != "none"] * 2)
        )
        config = resolve(choice.settings, {"model": {"attention": attention, "score": "dot"}})
        assert joint or config.model.tie_embeddings != "all"


def test_without_minutes_training_ends_after_a_number_of_epochs():
    size = CorpusSize(29_000, 430_000, joint=True)
    updates = choose_settings(size, minutes=None, use=Use()).settings["training"]["updates"]
    assert updates * 750 * FILLED == pytest.approx(20 * 430_000, rel=1e-3)  # 20 epochs


def test_with_minutes_the_time_ends_training_and_not_the_updates():
    choice = choose_settings(CorpusSize(5_000, 75_000, joint=True), minutes=10, use=Use())
    assert choice.settings["training"]["updates"] == UNLIMITED


def test_what_was_given_is_not_said_to_be_chosen():
    choice = choose_settings(CorpusSize(29_000, 430_000, joint=True), minutes=None, use=Use())
    given = {
        "model": {"encoder_size": 64, "lexicon": 0},
        "training": {"updates": 9, "guided_alignment": 0.0},
    }
    assert choice.describe(given) == (
        "chosen for 29,000 pairs with 430,000 target tokens: decoder 512, dropout 0.20, batches of "
        "750 tokens (--recipe or --set changes it)"
    )
    limited = choose_settings(CorpusSize(29_000, 430_000, joint=True), minutes=10, use=Use())
    assert "tokens and 10 minutes: encoder 2 x 256, " in limited.describe({})


@pytest.mark.parametrize("chosen", [{"attention": "none"}, {"encoder": "pyramid"}], ids=str)
def test_a_lexicon_is_chosen_only_where_it_works(store, chosen):
    config, _ = chosen_config(store, None, {"model": chosen})
    assert config.model.lexicon == config.training.guided_alignment == 0
    chosen_for_luong, _ = chosen_config(store, None, {})
    assert chosen_for_luong.model.lexicon == 50 and chosen_for_luong.training.guided_alignment > 0
    preset = preset_settings("bahdanau2015", paper_sizes=False)
    of_preset, _ = chosen_config(store, None, preset)
    assert of_preset.model.lexicon == of_preset.training.guided_alignment == 0


@pytest.mark.parametrize(
    "given",
    [
        {"model": {"normalizer": "sparsemax"}},
        {"model": {"scope": "local_m"}},
        {"training": {"source_subword_sampling": 0.1}},
    ],
    ids=str,
)
def test_alignment_is_guided_only_where_attention_can_learn_links_of_all_pieces(store, given):
    config, _ = chosen_config(store, None, given)
    assert config.model.lexicon == 50 and config.training.guided_alignment == 0


def test_a_corpus_of_weight_2_counts_twice(store):
    once = CorpusSize.of(store, store.corpora())
    twice = CorpusSize.of(store, store.corpora({"main": 2.0}))
    assert (twice.pairs, twice.target_tokens) == (2 * once.pairs, 2 * once.target_tokens)


def test_without_a_recipe_train_says_what_it_chose_and_options_win(tmp_path, store_path):
    options = ("--set=training.updates=0", "--set=model.dropout=0.125", "--threads=1")
    result = call("train", store_path, tmp_path / "run", *options)
    assert result.code == 0 and "chosen for " in result.err
    config = load_config(tmp_path / "run" / "config.toml")
    opened = TokenStore.open(store_path)
    chosen = choose_settings(
        CorpusSize.of(opened, opened.corpora()), minutes=None, use=Use()
    ).settings
    assert config.model.encoder_size == chosen["model"]["encoder_size"]
    assert (config.model.dropout, config.training.updates) == (0.125, 0)


def test_a_recipe_leaves_nothing_to_choose(tmp_path, store_path):
    options = ("--recipe=small", "--set=training.updates=0", "--threads=1")
    result = call("train", store_path, tmp_path / "run", *options)
    assert "chosen for" not in result.err
    assert load_config(tmp_path / "run" / "config.toml").model.encoder_size == 256
