"""Presets by name from the shell: trained, described, aligned; and one head of several shown."""

import json

import pytest
from journey import train
from program import call

from cli.runs.preset import preset_names, read_preset

WIDTHS = {
    "embedding_size": 12,
    "encoder_size": 12,
    "decoder_size": 12,
    "attention_size": 12,
    "readout_size": 12,
    "encoder_projection": 12,
}


def small(name):
    """--set for each width that a preset sets."""
    widths = {key: width for key, width in WIDTHS.items() if key in read_preset(name).model}
    return [f"--set=model.{key}={width}" for key, width in widths.items()]


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_trains_by_its_name(name, prepared, corpus, tmp_path):
    run = tmp_path / "run"
    trained = call(*train(prepared, run, "--preset", name, *small(name), updates=2))
    assert trained.code == 0, trained.err
    described = json.loads(call("describe", run, "--json").out)
    preset = read_preset(name)
    chosen = {key: value for key, value in preset.model.items() if key not in WIDTHS}
    found = described["config"]["model"]
    assert {key: found[key] for key in chosen} == chosen
    assert f"--preset {name}" in " ".join(described["command_line"])
    assert len(call("translate", run, corpus.valid[0], "--beam", 2).lines) == 40
    aligned = call("align", run, *corpus.valid, "--format", "pharaoh")
    if preset.model["attention"] == "none":
        assert aligned.code == 2 and "attention none" in aligned.err
    else:
        assert aligned.code == 0 and len(aligned.lines) == 40


def test_set_and_other_options_override_a_preset(prepared, tmp_path):
    run = tmp_path / "run"
    options = ("--preset", "luong2015-global", *small("luong2015-global"))
    changes = ("--set=model.window=3", "--score", "concat_fixed")
    assert call(*train(prepared, run, *options, *changes, updates=1)).code == 0
    model = json.loads(call("describe", run, "--json").out)["config"]["model"]
    assert (model["window"], model["score"], model["source_order"]) == (
        3,
        "concat_fixed",
        "reversed",
    )


def test_paper_sizes_are_set_with_the_preset(prepared, tmp_path):
    """A refusal names a size as published; training at that size would take too long."""
    options = ("--preset", "luong2015-global", "--paper-sizes", "--set=model.encoder_size=7")
    result = call("train", prepared, tmp_path / "run", *options)
    assert (result.code, result.out) == (2, "")
    assert "model.decoder_size is 1000, memory is 7" in result.err
    assert not list(tmp_path.iterdir())


REFUSED = {
    "--preset=bahdanau2014": "did you mean bahdanau2015?",
    "--preset=": "unknown preset",
    "--paper-sizes": "give --preset with one of bahdanau2015",
}


@pytest.mark.parametrize("option", REFUSED)
def test_invalid_presets_are_refused(option, prepared, tmp_path):
    result = call("train", prepared, tmp_path / "run", option)
    assert (result.code, result.out) == (2, "")
    assert REFUSED[option] in result.err and "\nhint:  " in result.err
    assert not list(tmp_path.iterdir())


def test_a_run_that_is_resumed_takes_no_preset(prepared, run):
    result = call("train", prepared, run, "--resume", "--preset", "gnmt", "--paper-sizes")
    assert (result.code, result.out) == (2, "")
    assert "hint:  leave out --preset and --paper-sizes" in result.err


# Heads


@pytest.fixture(scope="module")
def two_heads(prepared, tmp_path_factory):
    run = tmp_path_factory.mktemp("heads") / "run"
    trained = call(*train(prepared, run, "--set=model.heads=2", updates=10))
    assert trained.code == 0, trained.err
    return run


@pytest.mark.parametrize("given_target", [False, True])
def test_align_shows_one_head_or_the_mean_of_all(given_target, two_heads, corpus):
    files = corpus.valid if given_target else corpus.valid[:1]

    def weights(*options):
        result = call("align", two_heads, *files, "--format", "json", "--pieces", *options)
        assert result.code == 0, result.err
        return [json.loads(line)["alignment"]["weights"] for line in result.lines]

    mean, first, second = weights(), weights("--head", 1), weights("--head", 2)
    assert first != second
    for rows, ones, twos in zip(mean, first, second, strict=True):
        for row, one, two in zip(rows, ones, twos, strict=True):
            halves = [(a + b) / 2 for a, b in zip(one, two, strict=True)]
            assert row == pytest.approx(halves, abs=2e-4)  # written to 4 decimals


@pytest.mark.parametrize(
    ("head", "message"), [(3, "2 attention heads"), (100, "2 attention heads")]
)
def test_a_missing_head_is_refused(head, message, two_heads, corpus):
    result = call("align", two_heads, corpus.valid[0], "--head", head)
    assert (result.code, result.out) == (2, "")
    assert f"there is no head {head}" in result.err and message in result.err
    assert "hint:  use 1 to 2, or leave --head out" in result.err


def test_a_model_with_one_head_has_only_head_1(run, corpus):
    same = call("align", run, corpus.valid[0], "--head", 1)
    assert same.out == call("align", run, corpus.valid[0]).out
    result = call("align", run, corpus.valid[0], "--head", 2)
    assert result.code == 2 and "this model has 1 attention head\n" in result.err
