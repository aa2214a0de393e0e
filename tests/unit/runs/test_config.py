"""Settings: recipes resolve, what does not fit is refused with a hint, TOML is a fixed point."""

import json
import math
import tomllib

import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from cli.runs.config import (
    REMOVED,
    RENAMED,
    SECTIONS,
    RunConfig,
    dump_config,
    load_config,
    parse_settings,
    read_recipe,
    recipe_names,
    removed_settings,
    resolve,
    search_settings,
)
from seq2seq.building import build_model
from seq2seq.config import ModelConfig
from seq2seq.errors import CheckpointError, ConfigError, UserError
from seq2seq.system.attribute_docstrings import attribute_docstrings

EVERYTHING = [
    f"{section}.{name}" for section, kind in SECTIONS.items() for name in kind.model_fields
]


def refusal(*set_: str) -> UserError:
    with pytest.raises(ConfigError) as caught:
        resolve(parse_settings(set_))
    assert caught.value.hint, caught.value.message
    return caught.value


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_resolves_and_builds(name):
    config = resolve(read_recipe(name))
    model = config.model.model_copy(
        update={"embedding_size": 4, "encoder_size": 2, "decoder_size": 4, "attention_size": 2}
    )
    build_model(model, source_vocabulary=9, target_vocabulary=9, joint=True)


def test_the_help_text_names_every_recipe():
    assert recipe_names() == ["base", "small", "tiny"]


def test_later_layers_win():
    config = resolve({"model": {"dropout": 0.1, "cell": "gru"}}, {"model": {"dropout": 0.2}})
    assert (config.model.dropout, config.model.cell) == (0.2, "gru")
    assert resolve() == RunConfig()


def test_every_setting_is_explained():
    for section, kind in SECTIONS.items():
        assert list(attribute_docstrings(kind)) == list(kind.model_fields), section


@pytest.mark.parametrize(
    ("setting", "nearest"),
    [
        ("model.atention=luong", "model.attention"),
        ("training.lerning_rate=1", "training.learning_rate"),
        ("trainig.seed=2", "training"),
        ("search.beem=2", "search.beam"),
    ],
)
def test_an_unknown_setting_names_the_nearest(setting, nearest):
    assert nearest in refusal(setting).hint
    assert refusal(setting).hint.startswith("did you mean ")


def test_a_right_name_in_a_wrong_section_names_one_that_has_it():
    assert refusal("model.seed=2").hint in {
        "did you mean training.seed?",
        "did you mean data.seed?",
    }
    assert refusal("training.beam=2").hint == "did you mean search.beam?"


def test_an_unknown_recipe_names_the_nearest():
    with pytest.raises(ConfigError) as caught:
        read_recipe("tinny")
    assert caught.value.hint == "did you mean tiny?"


@pytest.mark.parametrize(
    "setting",
    [
        "model.cell=rnn",
        "model.dropout=1.0",
        "model.dropout=-0.1",
        "model.embedding_size=0",
        "model.embedding_size=[1]",
        "model.embedding_size=1.5",
        "model.input_feeding=maybe",
        "model.score=cosine",
        "training.updates=-1",
        "training.updates=many",
        "training.minutes=0",
        "training.seed=-1",
        "training.seed=99999999999999999999",
        "training.clip_norm=0",
        "search.beam=0",
        "search.length_penalty=-1",
        "search.length_penalty=10.1",
        "search.stop_after=99999999999999999999",
        "search.min_length=99999999999999999999",
        "search.min_length_factor=1e300",
        "search.max_length_factor=1e300",
        "data.vocabulary_size=3",
        "data.character_coverage=2",
        "data.piece_model=word",
        "training",
        "training=3",
        "=3",
        "",
        "nothing.at.all=3",
        "model.dropout.more=3",
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_a_hint(setting):
    refusal(setting)


FRACTIONS = [
    f"{section}.{name}"
    for section, kind in SECTIONS.items()
    for name, field in kind.model_fields.items()
    if "float" in str(field.annotation)
]


@pytest.mark.parametrize("name", FRACTIONS)
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999"])
def test_infinity_and_nan_are_refused(name, value):
    assert name in refusal(f"{name}={value}").message


@pytest.mark.parametrize("name", EVERYTHING)
def test_every_setting_refuses_a_table(name):
    assert name in refusal(f"{name}={{a = 'b'}}").message


@pytest.mark.parametrize("setting", ["temperature=0.5", "top_k=5", "top_p=0.5", "seed=2"])
def test_settings_of_sampling_are_refused_where_nothing_is_sampled(setting, tmp_path):
    def given(*settings: str, **options: object) -> dict[str, object]:
        return search_settings([f"search.{setting}", *settings], run=tmp_path, **options)

    def write_run(*, sample: bool) -> None:
        text = dump_config(resolve({"search": {"sample": sample}}))
        (tmp_path / "config.toml").write_text(text, encoding="utf-8")

    write_run(sample=False)
    with pytest.raises(ConfigError, match="has an effect on samples alone"):
        given()
    assert given("search.sample=true")["sample"]
    assert given(sample=True)["sample"]
    write_run(sample=True)
    assert given()
    with pytest.raises(ConfigError, match="has an effect on samples alone"):
        given("search.sample=false")


def test_settings_that_contradict_each_other_are_refused():
    assert "equal widths" in refusal("model.score=dot", "model.decoder_size=100").message
    resolve(parse_settings(["model.attention=none", "model.score=dot", "model.decoder_size=100"]))


def test_tying_all_needs_joint_pieces():
    with pytest.raises(ConfigError, match="separate vocabularies"):
        build_model(ModelConfig(), source_vocabulary=9, target_vocabulary=9, joint=False)


def test_values_are_toml_or_plain_strings():
    values = parse_settings(
        [
            "training.learning_rate=3e-4",
            "model.input_feeding=false",
            "model.cell=gru",
            "search.beam = 3",
        ]
    )
    assert values == {
        "training": {"learning_rate": 3e-4},
        "model": {"input_feeding": False, "cell": "gru"},
        "search": {"beam": 3},
    }


def test_settings_are_frozen():
    with pytest.raises(ValidationError):
        RunConfig().model.dropout = 0.5


# Files


@pytest.mark.parametrize(
    "text",
    ["model = 3", "[model]\natention = 1", "[modle]", "[model", "x = " + "[" * 5000, "\x00"],
)
def test_a_file_that_is_not_a_recipe_is_refused_with_a_hint(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        resolve(read_recipe(str(path)))
    assert caught.value.hint and len(caught.value.message) < 500
    with pytest.raises(CheckpointError) as damaged:
        load_config(path)
    assert damaged.value.hint


@pytest.mark.parametrize("name", ["missing.toml", "folder/", "no/such"])
def test_a_file_that_cannot_be_read_is_refused_with_a_hint(tmp_path, name):
    with pytest.raises(ConfigError) as caught:
        read_recipe(str(tmp_path) + "/" + name)
    assert caught.value.hint


def test_a_folder_without_a_config_is_not_a_run(tmp_path):
    with pytest.raises(CheckpointError, match="not a run directory"):
        load_config(tmp_path / "config.toml")


def test_a_recipe_may_be_a_file_of_the_user(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[model]\ncell = 'gru'\n")
    assert resolve(read_recipe(str(path))).model.cell == "gru"


# Settings of earlier versions

OLD_VALUES = {"model.fed": "context", "model.state_dropout": 0.25}


def old_setting(old: str) -> tuple[str, str, object]:
    """Section, old name, and a value that is not the default."""
    section, _, name = old.partition(".")
    return section, name, OLD_VALUES.get(old, False)


def test_renamed_settings_exist_under_their_new_names_alone():
    for old, name in RENAMED.items():
        section, _, old_name = old.partition(".")
        assert name in SECTIONS[section].model_fields
        assert old_name not in SECTIONS[section].model_fields


def test_removed_settings_do_not_exist():
    for name in REMOVED:
        section, _, key = name.partition(".")
        assert key not in SECTIONS[section].model_fields


@pytest.mark.parametrize("old", RENAMED)
def test_an_old_name_after_set_works_and_is_noted(old):
    section, name, value = old_setting(old)
    notes = []
    values = parse_settings([f"{section}.{name}={json.dumps(value)}"], notes.append)
    assert values == {section: {RENAMED[old]: value}}
    assert notes == [f"--set: {old} is called {section}.{RENAMED[old]} now"]


@pytest.mark.parametrize("old", RENAMED)
def test_an_old_name_in_a_recipe_works_and_is_noted(tmp_path, old):
    section, name, value = old_setting(old)
    path, notes = tmp_path / "mine.toml", []
    path.write_text(f"[{section}]\n{name} = {json.dumps(value)}\n")
    assert read_recipe(str(path), notes.append) == {section: {RENAMED[old]: value}}
    assert notes == [f"{path}: {old} is called {section}.{RENAMED[old]} now"]


@pytest.mark.parametrize("old", RENAMED)
def test_an_old_name_in_the_config_of_a_run_works(tmp_path, old):
    section, name, value = old_setting(old)
    new = {RENAMED[old]: value} | ({"input_feeding": True} if old == "model.fed" else {})
    config = resolve({section: new})
    path = tmp_path / "config.toml"
    path.write_text(dump_config(config).replace(f"\n{RENAMED[old]} = ", f"\n{name} = "))
    assert name in tomllib.loads(path.read_text())[section]
    assert load_config(path) == config


def test_new_names_are_not_noted(tmp_path):
    path, notes = tmp_path / "mine.toml", []
    path.write_text("[model]\nencode_eos = false\n")
    read_recipe(str(path), notes.append)
    parse_settings(["model.attend_eos=false"], notes.append)
    assert notes == []


@pytest.mark.parametrize("name", REMOVED)
def test_a_removed_setting_is_refused_and_says_where_to_read_why(tmp_path, name):
    section, _, key = name.partition(".")
    path = tmp_path / "mine.toml"
    path.write_text(f"[{section}]\n{key} = 5.0\n")
    with pytest.raises(ConfigError, match=f"{name} no longer exists") as caught:
        read_recipe(str(path))
    assert "CHANGELOG.md" in caught.value.hint
    assert f"{name} no longer exists" in refusal(f"{name}=5.0").message


def test_the_config_of_a_run_may_have_a_removed_setting(tmp_path):
    path = tmp_path / "config.toml"
    for value, in_use in (("0.0", []), ("5.0", ["training.r_drop"])):
        path.write_text(
            dump_config(RunConfig()).replace("[training]", f"[training]\nr_drop = {value}")
        )
        assert load_config(path) == RunConfig()
        assert removed_settings(path) == in_use
    path.write_text(dump_config(RunConfig()))
    assert removed_settings(path) == []


def values_of(kind: type[BaseModel]):
    """Any settings of a section that it accepts on their own."""
    return st.fixed_dictionaries(
        {}, optional={name: value_of(name, field) for name, field in kind.model_fields.items()}
    )


def value_of(name: str, field):
    kind = str(field.annotation)
    if "Literal" in kind:
        return st.sampled_from(field.annotation.__args__)
    if field.annotation is bool:
        return st.booleans()
    if "float" in kind:
        return st.floats(allow_nan=False, allow_infinity=False)
    return st.integers(0, 2**70)


@examples(25)
@given(st.fixed_dictionaries({name: values_of(kind) for name, kind in SECTIONS.items()}))
def test_settings_are_the_same_after_writing_and_loading(tmp_path_factory, values):
    layers = {section: {} for section in SECTIONS}
    for section, chosen in values.items():  # keep what is accepted
        for name, value in chosen.items():
            try:
                resolve(layers, {section: {name: value}})
            except ConfigError as error:
                assert error.hint
            else:
                layers[section][name] = value
    config = resolve(layers)
    text = dump_config(config)
    path = tmp_path_factory.getbasetemp() / "config.toml"
    path.write_text(text, encoding="utf-8")
    assert load_config(path) == config
    assert dump_config(load_config(path)) == text


def test_a_written_config_names_every_setting():
    text = dump_config(RunConfig())
    written = tomllib.loads(text)
    for section, kind in SECTIONS.items():
        for name in kind.model_fields:
            assert name in written[section] or f"# {name} is not set" in text
    assert not math.isnan(written["model"]["dropout"])
