"""Presets: complete on every recipe, with every equation in use, and described in full."""

import json
import re
import runpy
import textwrap
import tomllib
from pathlib import Path
from typing import get_args

import pytest
import torch
import typer
from program import call
from tiny import model_of, padded, stepped

from cli.commands.options import AttentionChoice, ScoreChoice
from cli.runs.config import SECTIONS, parse_settings, read_recipe, recipe_names, resolve
from cli.runs.preset import preset_names, read_preset, setting_lines
from seq2seq.config import ModelConfig
from seq2seq.errors import ConfigError

ROOT = Path(__file__).parents[3]
PRESETS = preset_names()
RECIPES_OWN = {
    "embedding_dropout",
    "dropout",
    "readout_dropout",
}  # what a preset leaves to the recipe
SIZES = {
    "embedding_size": 4,
    "encoder_size": 4,
    "decoder_size": 4,
    "attention_size": 4,
    "readout_size": 4,
    "encoder_projection": 4,
}


def tiny(name):
    """A preset's structure in widths of 4, without dropout."""
    values = read_preset(name).model
    sizes = {size: width for size, width in SIZES.items() if size in values}
    off = {"dropout": 0.0, "embedding_dropout": 0.0}
    off |= {"attention_dropout": 0.0} if values["attention"] != "none" else {}
    return ModelConfig(**values | sizes | off)


def test_there_are_eight_presets():
    assert PRESETS == [
        "bahdanau2015",
        "cho2014",
        "gnmt",
        "luong2015-global",
        "luong2015-local-p",
        "nematus-cgru",
        "rnmt-plus",
        "sutskever2014",
    ]


@pytest.mark.parametrize("paper_sizes", [False, True])
@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_the_same_model_on_every_recipe(name, paper_sizes):
    values = read_preset(name).values(paper_sizes=paper_sizes)
    models = [resolve(read_recipe(recipe), values).model for recipe in recipe_names()]
    unused = {"attention_size", "score"} if values["model"]["attention"] == "none" else set()
    first, *others = [model.model_dump(exclude=RECIPES_OWN | unused) for model in models]
    assert all(other == first for other in others)
    for model in models:
        assert model.model_dump() | values["model"] == model.model_dump()


@pytest.mark.parametrize("name", PRESETS)
def test_published_sizes_change_sizes_and_dropout_alone(name):
    preset = read_preset(name)
    numbers = {key for key in preset.published if key.endswith(("_size", "_layers", "dropout"))}
    assert set(preset.published) - numbers <= {"heads", "encoder_projection"}
    for width in ("embedding_size", "encoder_size", "decoder_size"):
        assert preset.published[width] > preset.model[width] or name == "cho2014"
    assert set(preset.published) >= RECIPES_OWN


@pytest.mark.parametrize("name", PRESETS)
def test_every_weight_of_a_preset_has_a_gradient(name):
    model = model_of(tiny(name))
    batch = padded([([4, 5, 6, 7], [5, 6, 7]), ([8, 9], [4, 10, 9, 8])])
    readouts, *_ = model.unroll(batch)
    generator = torch.Generator().manual_seed(1)
    logits = model.logits(readouts)
    (logits * torch.randn(logits.shape, generator=generator)).sum().backward()
    without_gradient = [
        path
        for path, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().max() > 1e-12
    ]
    assert without_gradient == []


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_steps_as_it_unrolls(name):
    model = model_of(tiny(name))
    batch = padded([([4, 5, 6, 7], [5, 6, 7]), ([8, 9], [4, 10, 9, 8])])
    with torch.no_grad():
        unrolled, (readouts, weights) = model.unroll(batch), stepped(model, batch)
    torch.testing.assert_close(unrolled.readouts, readouts, atol=1e-12, rtol=0)
    if weights is not None:
        torch.testing.assert_close(unrolled.weights, weights, atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", PRESETS)
def test_the_description_of_a_preset_is_complete(name):
    preset = read_preset(name)
    assert re.search(r"\(20\d\d", preset.paper) and preset.title and preset.same
    assert len(preset.deviations) >= 5
    for part in ("encoder", "start", "decoder", "attention", "output"):
        assert re.search(rf"^{part} ", preset.equations, re.MULTILINE), part
    assert max(map(len, preset.equations.splitlines())) <= 98
    for text in (*preset.same, *preset.deviations):
        assert text.endswith(".")
    settings = tomllib.loads("\n".join(setting_lines(preset.model)))["model"]
    assert settings == preset.model
    always_set = {"scale_embeddings", "tie_embeddings", "recurrent_biases", "output_bias"}
    assert always_set | {"cell", "decoder_cell", "bridge", "readout"} <= set(preset.model)


@pytest.mark.parametrize("name", PRESETS)
def test_settings_in_the_description_of_a_preset_work_with_it(name):
    preset = read_preset(name)
    for text in preset.deviations:
        settings = parse_settings(re.findall(r"--set (\S+?)(?=[.,;]?(?:\s|$))", text))
        resolve(read_recipe("small"), preset.values(), settings)


# How it is described


@pytest.mark.parametrize("name", PRESETS)
def test_describe_prints_equations_settings_sizes_and_every_deviation(name):
    preset = read_preset(name)
    result = call("describe", name)
    assert (result.code, result.err) == (0, "")
    assert result.lines[0] == preset.title
    assert textwrap.indent(preset.equations, "  ") in result.out
    assert max(map(len, result.lines)) <= 100
    text_out = " ".join(result.out.split())
    for text in (preset.paper, *preset.same, *preset.deviations):
        assert " ".join(text.split()) in text_out
    for line in (*setting_lines(preset.model), *setting_lines(preset.published)):
        assert f"  {line}\n" in result.out
    assert f"seq2seq train STORE RUN --preset {name} --paper-sizes\n" in result.out


@pytest.mark.parametrize("name", PRESETS)
def test_describe_prints_the_same_as_json(name):
    preset = read_preset(name)
    found = json.loads(call("describe", name, "--json").out)
    assert (found["schema_version"], found["kind"]) == (1, "preset")
    for part in ("name", "title", "paper", "equations", "model", "published", "deviations"):
        assert found[part] == getattr(preset, part)


def test_describe_names_the_presets_for_an_unknown_path():
    result = call("describe", "gnmtt")
    assert (result.code, result.out) == (4, "")
    assert "gnmtt is neither a token store" in result.err
    assert all(name in result.err for name in PRESETS)


def test_a_path_wins_over_a_preset_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gnmt").mkdir()
    result = call("describe", "gnmt")
    assert (result.code, result.out) == (4, "")
    assert call("describe", "rnmt-plus").code == 0


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("luong2015", "luong2015-global"),
        ("bahdanau2014", "bahdanau2015"),
        ("rnmtplus", "rnmt-plus"),
    ],
)
def test_an_unknown_preset_names_the_nearest(name, nearest):
    with pytest.raises(ConfigError) as caught:
        read_preset(name)
    assert caught.value.hint == f"did you mean {nearest}?"


def test_the_page_of_presets_is_up_to_date():
    page = runpy.run_path(str(ROOT / "scripts" / "document_settings.py"))["presets_page"]()
    assert (ROOT / "docs" / "presets.md").read_text(encoding="utf-8") == page
    for name in PRESETS:
        assert f"\n## {name}\n" in page


def test_the_options_of_train_have_the_values_of_their_settings():
    fields = SECTIONS["model"].model_fields
    assert [order.value for order in AttentionChoice] == list(
        get_args(fields["attention"].annotation)
    )
    assert [score.value for score in ScoreChoice] == list(get_args(fields["score"].annotation))


def test_the_help_of_train_lists_the_options():
    from cli.app import app

    train = typer.main.get_command(app).commands["train"]
    options = {option for parameter in train.params for option in parameter.opts}
    assert {"--preset", "--paper-sizes", "--recipe", "--attention", "--score"} <= options
