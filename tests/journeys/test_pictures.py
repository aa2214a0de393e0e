"""Drawings of heads, self-attention, several runs and checkpoints, saliency, and of a test set."""

import re
import sys
from unittest import mock

import pytest
from journey import train
from program import call

LINE = b"red dog sees the small cat\n"


@pytest.fixture(scope="module")
def several(prepared, tmp_path_factory):
    """A run with two heads, two layers of self-attention and two checkpoints."""
    run = tmp_path_factory.mktemp("several") / "run"
    settings = ("model.heads=2", "model.encoder_self_attention=1", "model.self_attention_heads=2")
    options = [f"--set={each}" for each in (*settings, "model.decoder_self_attention=true")]
    trained = call(*train(prepared, run, *options, updates=80))
    assert trained.code == 0, trained.err
    return run


@pytest.fixture(scope="module")
def plain(prepared, tmp_path_factory):
    """A run without attention."""
    run = tmp_path_factory.mktemp("plain") / "run"
    trained = call(*train(prepared, run, "--attention", "none", updates=10))
    assert trained.code == 0, trained.err
    return run


def drawn(*arguments, stdin=LINE):
    result = call("align", *arguments, "--threads", 1, stdin=stdin)
    assert result.code == 0, result.err
    return result


def test_all_heads_are_drawn_side_by_side(several):
    out = drawn(several, "-", "--head", "all", "--width", 100).out
    assert re.search("^head 1 of 2 +head 2 of 2$", out, re.MULTILINE)
    stacked = drawn(several, "-", "--head", "all", "--width", 30).out
    assert re.search("^head 2 of 2$", stacked, re.MULTILINE)
    assert "head" not in drawn(several, "-", "--head", "mean").out


def test_every_head_is_drawn_as_by_itself(several):
    options = ("--style", "list", "--width", 30)
    both = drawn(several, "-", "--head", "all", *options).out
    for head in (1, 2):
        lines = drawn(several, "-", "--head", head, *options).lines[2:-1]
        assert "\n".join(lines) in both, head


@pytest.mark.parametrize("layer", ["encoder-1", "decoder"])
def test_self_attention_is_drawn_of_the_sentence_itself(several, layer):
    out = drawn(several, "-", "--layer", layer, "--head", 2, "--style", "list").out
    assert f"\n{layer}, head 2 of 2\n" in out
    assert ("\nsees  ← " in out) == (layer == "encoder-1")
    assert f"\nself-attention {layer}\n" in drawn(several, "-", "--layer", layer).out
    both = drawn(several, "-", "--layer", layer, "--head", "all").out
    assert both.count("head 1 of 2") == both.count("head 2 of 2") == 1


def test_runs_are_compared_beside_each_other(several, plain, prepared):
    out = drawn(several, "-", "--compare", plain, "--width", 200).out
    assert out.count("confidence") == 2 and "gradient saliency" in out
    names = [f"{path.parent.name}/run" for path in (several, plain)]  # both are called run
    assert re.search("^{} +{}$".format(*names), out, re.MULTILINE)
    assert all(f"  ({name})\n" in out for name in names)
    refused = call("align", several, "-", "--compare", prepared, stdin=LINE)
    assert refused.code == 4 and f"{prepared} is a token store" in refused.err


def test_the_history_of_a_sentence_is_forced_to_one_translation(several, corpus):
    out = drawn(several, "-", "--history", "--width", 120).out
    assert re.search("^update 40 +update 80$", out, re.MULTILINE)
    assert len(re.findall("confidence", out)) == 2
    given = drawn(several, *corpus.valid, "--history", "--width", 120, stdin=b"").out
    assert given.count("update 40") == 40


def test_a_model_without_attention_has_its_saliency_drawn(plain, corpus):
    result = drawn(plain, "-")
    assert "gradient saliency (input x gradient)" in result.out.replace("\n", " ")
    assert "attention is not word alignment" not in result.err
    typed = call("translate", plain, "-i", "--alignments", stdin=b"red dog\n/force god der\n")
    assert typed.code == 0 and typed.out.count("gradient saliency") == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--head", "first"), "--head is 'first'"),
        (("--head", 0), "--head is '0'"),
        (("--head", 3), "there is no head 3: this model has 2 attention heads"),
        (("--layer", "encoder-2"), "this model has no self-attention 'encoder-2'"),
        (("--layer", "decoder", "--head", 3), "there is no head 3: decoder has 2 heads"),
        (("--head", "all", "--format", "json"), "--head all is for drawings"),
        (("--history", "--format", "pharaoh"), "--history is for drawings"),
        (("--history", "--compare", "run"), "--compare and --history both draw several tables"),
    ],
)
def test_what_cannot_be_drawn_is_refused(several, options, message):
    result = call("align", several, "-", *options, stdin=LINE)
    assert (result.code, result.out) == (2, "")
    assert message in result.err and "hint:" in result.err


def test_the_prompt_draws_heads(several):
    typed = b"/head all\n/alignments on\nred dog\n/head 9\n/head\n"
    result = call("translate", several, "-i", stdin=typed)
    assert result.code == 0 and "head 2 of 2" in result.out
    assert "there is no head 9" in result.err and result.err.count("head all") == 2


def test_evaluate_shows_translations_of_the_test_set(run, corpus):
    result = call("evaluate", run, *corpus.valid, "--show", 3, "--width", 60)
    assert result.code == 0, result.err
    assert re.findall("^line +([0-9]+)$", result.out, re.MULTILINE) == ["1", "14", "27"]
    assert result.out.count("\nreference    ") == result.out.count("\nconfidence ") == 3
    refused = call("evaluate", run, *corpus.valid, "--show", 3, "--json")
    assert refused.code == 2 and "--show draws on standard output" in refused.err


def test_a_page_is_written_whole_and_never_over_another_file(several, corpus, tmp_path):
    path = tmp_path / "page.html"
    options = ("--format", "html", "--head", "all", "-o", path)
    written = call("align", several, corpus.valid[0], *options)
    assert (written.code, written.out) == (0, "") and f"written to {path}" in written.err
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>") and text.count('"head 2 of 2"') == 40
    again = call("align", several, corpus.valid[0], *options)
    assert again.code == 2 and f"{path} exists already" in again.err
    to_stdout = call("align", several, corpus.valid[0], "--format", "html", "--head", "all")
    assert to_stdout.out == text
    assert call("align", several, corpus.valid[0], *options, "--overwrite").code == 0
    source = call("align", several, corpus.valid[0], "--format", "html", "-o", corpus.valid[0])
    assert source.code == 2 and "would replace" in source.err


def test_a_picture_has_few_tables(several, plain, corpus):
    picture = drawn(several, "-", "--format", "svg", "--compare", plain).out
    assert picture.startswith("<svg") and picture.count("gradient saliency") == 1
    refused = call("align", several, corpus.valid[0], "--format", "svg", "--head", "all")
    assert (refused.code, refused.out) == (2, "") and "more than 40 tables" in refused.err
    table = call("align", several, "-", "-o", "page.html", stdin=LINE)
    assert table.code == 2 and "--output is for pages, pictures and archives" in table.err


def test_a_picture_can_be_a_png(several, tmp_path):
    pytest.importorskip("vl_convert")
    path = tmp_path / "picture.png"
    written = call("align", several, "-", "--format", "png", "-o", path, stdin=LINE)
    assert (written.code, written.out) == (0, "") and path.read_bytes().startswith(b"\x89PNG")
    refused = call("align", several, "-", "--format", "png", stdin=LINE)
    assert refused.code == 2 and "--format png writes a file" in refused.err


def test_without_the_package_a_png_is_refused(several, tmp_path):
    name = "cli.terminal.report.pictures"
    with mock.patch.dict(sys.modules, {"vl_convert": None}):
        sys.modules.pop(name, None)
        options = ("--format", "png", "-o", tmp_path / "picture.png")
        result = call("align", several, "-", *options, stdin=LINE)
    assert result.code == 2 and "pip install 'seq2seq-trainer[report]'" in result.err
