"""Settings of training chosen from the corpus and the minutes."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from program import call

from cli.runs.choice import ANCHORS, UNLIMITED, CorpusSize, Use, choose_settings, interpolate
from cli.runs.config import load_config, resolve
from cli.runs.directory import RunDirectory
from cli.runs.training_job import new_run, preset_settings
from cli.runs.warm_start import Origin
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
        # what falls to 0 or rises steeply may change by more than 2 % beside an anchor
        least = {"lexicon": 0.2, "encoder_rise": 1.5, "warmup": 6.5}.get(name, 0.002)
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


def dropouts(size, **limits):
    model = choose_settings(size, **{"minutes": None} | limits, use=Use()).settings["model"]
    return [model[name] for name in ("embedding_dropout", "dropout", "readout_dropout")]


def test_dropout_rises_with_the_epochs_that_minutes_or_updates_allow():
    size = CorpusSize(29_000, 430_000, joint=True)
    few, many = pytest.approx([0.1, 0.2, 0.3]), pytest.approx([0.2, 0.3, 0.4])
    assert dropouts(size, minutes=5) == dropouts(size, updates=2_000) == few
    assert dropouts(size, minutes=600) == dropouts(size, updates=60_000) == many
    assert dropouts(size, minutes=600, updates=2_000) == few
    rising = [dropouts(size, minutes=minutes)[0] for minutes in range(1, 200)]
    assert rising == sorted(rising) and max(map(float.__sub__, rising[1:], rising)) < 0.02
    assert dropouts(size) == pytest.approx([0.15, 0.25, 0.35])  # 20 epochs


def test_the_encoder_is_larger_in_a_long_training():
    def sizes(size, *minutes):
        choices = [choose_settings(size, minutes=each, use=Use()).settings for each in minutes]
        return [choice["model"]["encoder_size"] for choice in choices]

    assert sizes(CorpusSize(5_000, 75_000, joint=True), 1, 2.5, 5, 10, 60) == [
        128, 128, 256, 384, 384,
    ]  # fmt: skip
    assert sizes(CorpusSize(29_000, 430_000, joint=True), 10, 60, 100) == [256, 256, 256]
    assert sizes(CorpusSize(500_000, 10_000_000, joint=True), 10, 6000) == [512, 512]
    tiny = CorpusSize(1_000, 15_000, joint=True)
    assert sizes(tiny, 2) == [128]  # 40 epochs, but of few tokens
    assert dropouts(tiny, minutes=2)[1] == 0.4


def test_updates_in_quotes_are_as_good_as_a_number(store_path, tmp_path):
    few, quoted = (
        config_of(store_path, tmp_path, training={"updates": updates}) for updates in (7, "7")
    )
    assert quoted == few != config_of(store_path, tmp_path, training={"updates": 10**6})


def test_dropout_of_a_large_corpus_does_not_depend_on_the_epochs():
    size = CorpusSize(500_000, 10_000_000, joint=True)
    assert dropouts(size, updates=1_000) == dropouts(size, updates=1_000_000)


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
        "chosen for 29,000 pairs with 430,000 target tokens: decoder 512, dropout 0.25, batches of "
        "750 tokens (--recipe or --set changes it)"
    )
    limited = choose_settings(CorpusSize(29_000, 430_000, joint=True), minutes=10, use=Use())
    assert "tokens and 10 minutes: encoder 2 x 256, " in limited.describe({})


def config_of(store_path, tmp_path, *, preset=None, recipe=None, start_from=None, **settings):
    """The settings of a new run, of which nothing is written."""
    return new_run(
        tmp_path / "new",
        store_path,
        recipe=recipe,
        preset=preset_settings(preset, paper_sizes=False),
        settings=settings,
        start_from=start_from,
        device="cpu",
        threads=None,
        note=lambda line: None,
    ).config


@pytest.mark.parametrize("model", [{"attention": "none"}, {"encoder": "pyramid"}], ids=str)
def test_a_lexicon_is_chosen_only_where_it_works(store_path, tmp_path, model):
    config = config_of(store_path, tmp_path, model=model)
    assert config.model.lexicon == config.training.guided_alignment == 0
    for_luong = config_of(store_path, tmp_path)
    assert for_luong.model.lexicon == 50 and for_luong.training.guided_alignment > 0


@pytest.mark.parametrize(
    "given",
    [
        {"model": {"normalizer": "sparsemax"}},
        {"model": {"scope": "local_m"}},
        {"training": {"source_subword_sampling": 0.1}},
    ],
    ids=str,
)
def test_alignment_is_guided_only_where_attention_can_learn_links_of_all_pieces(
    store_path, tmp_path, given
):
    config = config_of(store_path, tmp_path, **given)
    assert config.model.lexicon == 50 and config.training.guided_alignment == 0


def test_a_preset_has_neither_but_by_a_recipe_or_an_option(store_path, tmp_path):
    config = config_of(store_path, tmp_path, preset="bahdanau2015")
    assert config.model.lexicon == config.training.guided_alignment == 0
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("[training]\nguided_alignment = 0.25\n")
    of_recipe = config_of(store_path, tmp_path, preset="bahdanau2015", recipe=str(recipe))
    assert of_recipe.training.guided_alignment == 0.25
    guided = {"training": {"guided_alignment": 0.5}}
    of_option = config_of(store_path, tmp_path, preset="bahdanau2015", **guided)
    assert of_option.training.guided_alignment == 0.5


@pytest.mark.parametrize(
    ("training", "is_guided"),
    [
        ({}, False),
        ({"guided_alignment": 0.1}, True),
        ({"guided_alignment": 0.1, "guided_alignment_shift": 1}, False),
        ({"guided_alignment": 0.1, "guided_alignment_head": 1}, False),
    ],
    ids=str,
)
def test_a_warm_start_goes_on_with_attention_as_it_was(
    store_path, store, tmp_path, monkeypatch, training, is_guided
):
    monkeypatch.setattr(Origin, "provenance", lambda origin: {})  # it was not trained
    model = {"encoder_size": 4, "decoder_size": 8, "attention_size": 4, "embedding_size": 4}
    config = resolve({"data": store.meta["config"]}, {"model": model, "training": training})
    origin = RunDirectory.create(tmp_path / "origin", config, store)
    warm = config_of(store_path, tmp_path, start_from=origin.path)
    assert (warm.training.guided_alignment > 0) == is_guided


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
        CorpusSize.of(opened, opened.corpora()), minutes=None, updates=0, use=Use()
    ).settings
    assert config.model.encoder_size == chosen["model"]["encoder_size"]
    assert (config.model.dropout, config.training.updates) == (0.125, 0)


def test_a_recipe_leaves_nothing_to_choose(tmp_path, store_path):
    options = ("--recipe=small", "--set=training.updates=0", "--threads=1")
    result = call("train", store_path, tmp_path / "run", *options)
    assert "chosen for" not in result.err
    assert load_config(tmp_path / "run" / "config.toml").model.encoder_size == 256
