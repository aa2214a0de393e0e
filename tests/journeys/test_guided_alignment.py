"""Guided alignment from the shell: links in a store, attention that learns them, refusals."""

import json

import pytest
from journey import train
from program import call


@pytest.fixture(scope="module")
def links(corpus, tmp_path_factory):
    """The n-th word of a source is the n-th of its target."""
    path = tmp_path_factory.mktemp("links") / "train.pharaoh"
    sizes = [len(line.split()) for line in corpus.train[0].read_text("utf-8").splitlines()]
    path.write_text("".join(" ".join(f"{i}-{i}" for i in range(n)) + "\n" for n in sizes))
    return path


@pytest.fixture(scope="module")
def linked(corpus, links, tmp_path_factory):
    """A store with links; read only."""
    store = tmp_path_factory.mktemp("linked") / "store"
    assert call(*corpus.preprocess(store, "--alignments", links)).code == 0
    return store


def error_rate(run, corpus, tmp_path, *options):
    sizes = [len(line.split()) for line in corpus.valid[0].read_text("utf-8").splitlines()]
    drawn = tmp_path / "valid.pharaoh"
    drawn.write_text("".join(" ".join(f"{i}-{i}" for i in range(n)) + "\n" for n in sizes))
    result = call("align", run, *corpus.valid, "--gold", drawn, "--json", *options)
    assert result.code == 0, result.err
    return json.loads(result.out)["aer"]["value"]


def test_attention_that_was_guided_has_a_lower_error_rate(linked, corpus, tmp_path):
    rates = {}
    for weight in (0.0, 1.0):
        run = tmp_path / f"guided {weight}"
        trained = call(*train(linked, run, f"--set=training.guided_alignment={weight}", updates=60))
        assert trained.code == 0, trained.err
        rates[weight] = error_rate(run, corpus, tmp_path)
    assert rates[1.0] < rates[0.0] - 0.15, rates
    plain, guided = (tmp_path / f"guided {weight}" for weight in rates)
    for runs, said in (
        ((plain,), ""),
        ((guided,), "; here it was guided by links (training.guided_alignment)"),
        ((plain, "--compare", guided), "; that of guided 1.0 was guided by links (training.gui"),
    ):
        drawn = call("align", runs[0], "-", *runs[1:], stdin=b"red dog sees the small cat\n")
        assert "attention is not word alignment" in drawn.err, drawn.err
        assert said in drawn.err and ("guided by links" in drawn.err) == bool(said), drawn.err
    written = call("align", guided, "-", "--format", "html", stdin=b"red dog sees the small cat\n")
    assert "here it was guided by links" in written.out


def test_a_head_that_was_taught_a_step_later_is_the_one_that_links(linked, corpus, tmp_path):
    run = tmp_path / "run"
    settings = ("guided_alignment=1", "guided_alignment_head=2", "guided_alignment_shift=1")
    options = ("--set=model.heads=2", *(f"--set=training.{setting}" for setting in settings))
    trained = call(*train(linked, run, *options, updates=60))
    assert trained.code == 0, trained.err
    rate = error_rate(run, corpus, tmp_path)
    assert rate == error_rate(run, corpus, tmp_path, "--head", "2", "--shift", "1")
    for others in (("--head", "1"), ("--shift", "0")):
        assert rate < error_rate(run, corpus, tmp_path, *others) - 0.15

    def drawn(*choice):
        return call("align", run, *corpus.valid, "--values", *choice).out

    assert drawn() == drawn("--head", "2", "--shift", "1") != drawn("--head", "mean")


def test_a_store_says_that_it_has_links(linked, corpus, links):
    again = call(*corpus.preprocess(linked, "--alignments", links, "--json"))
    assert "was prepared already" in again.err
    report = json.loads(again.out)["links"]
    assert report["origin"] == str(links)
    assert report["pairs"] == 1000 and report["links"] > 3000
    described = call("describe", linked)
    assert f"origin: {links}" in described.out and "pairs: 1,000" in described.out
    assert json.loads(call("describe", linked, "--json").out)["links"] == report
    assert call("describe", linked, "--verify").code == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--attention", "none"], "needs attention, and model.attention is none"),
        (["--set=model.encoder=pyramid"], "a pyramid encoder spans several pieces"),
        (["--set=training.guided_alignment_head=2"], "guided_alignment_head is 2, but"),
        (["--set=model.normalizer=sparsemax"], "from which cross-entropy cannot learn"),
        (
            ["--set=training.guided_alignment_unlinked=eos", "--set=model.attend_eos=false"],
            "attention does not see the end",
        ),
        (["--set=training.source_subword_sampling=0.1"], "subword sampling draws others"),
    ],
)
def test_what_cannot_be_guided_is_refused(options, said, linked, tmp_path):
    run = tmp_path / "run"
    result = call(*train(linked, run, "--set=training.guided_alignment=0.5", *options))
    assert (result.code, result.out) == (2, ""), result.err
    assert said in result.err and "hint: " in result.err and not run.exists()


def test_without_links_in_the_store_they_are_learnt_from_the_pairs(prepared, corpus, tmp_path):
    run, guided = tmp_path / "run", "--set=training.guided_alignment=1"
    trained = call(*train(prepared, run, guided, updates=60))
    assert trained.code == 0 and "links of pieces, learnt from" in trained.err, trained.err
    assert error_rate(run, corpus, tmp_path) < 0.4  # as with true links; without any, .58
    resumed = call("train", prepared, run, "--resume", "--set=training.updates=62")
    assert resumed.code == 0 and "links of pieces" not in resumed.err
    assert call("describe", run, "--verify").code == 0
    links = run / "links.safetensors"
    links.write_bytes(links.read_bytes()[:-4] + b"\0\0\0\1")
    again = call("train", prepared, run, "--resume", "--set=training.updates=64")
    assert again.code == 4 and "links.safetensors is damaged" in again.err
    assert "links.safetensors" in call("describe", run, "--verify").out
