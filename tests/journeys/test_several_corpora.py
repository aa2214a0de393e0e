"""One model for both directions: a corpus and its swapped copy, each with a tag."""

import json

import pytest
from journey import WORDS, train
from program import call, succeed

from cli.runs.directory import RunDirectory
from seq2seq.batch import EOS

SETTINGS = (
    "--set=training.corpus_weights={reverse = 1.0}",
    "--set=training.curriculum=length",
    "--set=training.source_subword_sampling=0.05",
)
MIRRORED = {word[::-1] for word in WORDS}


@pytest.fixture(scope="module")
def manifest(corpus, tmp_path_factory):
    path = tmp_path_factory.mktemp("both") / "corpora.toml"
    source, target = corpus.train
    path.write_text(
        f'[main]\ntag = "2xx"\n[reverse]\nsource = "{target}"\ntarget = "{source}"\n'
        'weight = 0.5\ntag = "2en"\n'
    )
    return path


@pytest.fixture(scope="module")
def both(corpus, manifest):
    """A store of both directions; read only."""
    store = manifest.parent / "store"
    assert call(*corpus.preprocess(store, "--corpora", manifest)).code == 0
    return store


@pytest.fixture(scope="module")
def run(both):
    """A model for both directions, trained with every setting for several corpora; read only."""
    run = both.parent / "run"
    succeed(*train(both, run, *SETTINGS))
    return run


def test_another_process_trains_the_same_model(both, run, tmp_path):
    result = call(*train(both, tmp_path / "again", *SETTINGS))
    assert result.code == 0, result.err
    assert (tmp_path / "again/metrics.jsonl").read_bytes() == (run / "metrics.jsonl").read_bytes()


def words(lines):
    return [word for line in lines for word in line.split()]


def share_of(vocabulary, lines):
    found = words(lines)
    return sum(word in vocabulary for word in found) / len(found)


def test_the_report_lists_each_corpus(corpus, manifest, both):
    again = call(*corpus.preprocess(both, "--corpora", manifest, "--json"))
    corpora = json.loads(again.out)["corpora"]
    assert [(c["name"], c["weight"], c["tag"], c["pairs"]) for c in corpora] == [
        ("main", 1.0, "2xx", 1000),
        ("reverse", 0.5, "2en", 1000),
    ]
    shown = call(*corpus.preprocess(both, "--corpora", manifest)).out
    assert "train: main, tag 2xx" in shown and "train: reverse, weight 0.5, tag 2en" in shown
    described = json.loads(call("describe", both, "--json").out)
    assert described["corpora"]["reverse"] == {"pairs": 1000, "weight": 0.5, "tag": "2en"}


def test_the_tag_selects_the_direction_of_translation(run, corpus):
    there, back = (path.read_bytes() for path in corpus.valid)
    usual = call("translate", run, stdin=there)
    assert usual.code == 0, usual.err
    assert call("translate", run, "--tag", "2xx", stdin=there).lines == usual.lines
    other = call("translate", run, "--tag", "2en", stdin=back)
    assert len(usual.lines) == len(other.lines) == 40
    assert share_of(MIRRORED, usual.lines) > 0.9 and share_of(set(WORDS), other.lines) > 0.9


def test_blank_lines_stay_blank_whatever_the_tag(run):
    for tag in ("2xx", "2en", "none"):
        lines = call("translate", run, "--tag", tag, stdin=b"red dog\n\n \nthe cat\n").lines
        assert [bool(line) for line in lines] == [True, False, False, True]


def test_evaluation_takes_a_tag(run, corpus):
    source, target = corpus.valid
    found = {
        tag: json.loads(call("evaluate", run, target, source, "--tag", tag, "--json").out)
        for tag in ("2xx", "2en")
    }
    assert found["2en"]["chrf"]["score"] > found["2xx"]["chrf"]["score"]


def test_alignments_do_not_show_the_tag(run, corpus):
    aligned = call("align", run, *corpus.valid, "--format", "json")
    for line, source in zip(aligned.lines, corpus.valid[0].read_text().splitlines(), strict=True):
        alignment = json.loads(line)["alignment"]
        assert len(alignment["source"]) == len(source.split()) + 1  # and the end
        for row in alignment["weights"]:
            assert sum(row) == pytest.approx(1, abs=1e-3)
    links = call("align", run, "-", "--tag", "2en", "--format", "pharaoh", stdin=b"der god\n").lines
    assert all(link.startswith(("0-", "1-")) for link in links[0].split())


def test_an_unknown_tag_is_refused(run, corpus):
    result = call("translate", run, "--tag", "2de", stdin=b"red dog\n")
    assert (result.code, result.out) == (2, "")
    assert "there is no tag 2de" in result.err and "this model has 2en, 2xx" in result.err


def test_weights_of_unknown_corpora_are_refused(both, tmp_path):
    for weights, message in (
        ("{back = 1}", "names back, which is no corpus of"),
        ("{main = 0, reverse = 0}", "nothing is left to train on"),
        ("{main = -1}", "training.corpus_weights.main is -1"),
    ):
        result = call(*train(both, tmp_path / "run", f"--set=training.corpus_weights={weights}"))
        assert (result.code, result.out) == (2, "") and message in result.err
    assert not list(tmp_path.iterdir())


def test_an_invalid_file_of_corpora_is_refused(corpus, tmp_path):
    path = tmp_path / "corpora.toml"
    for text, code, message in (
        ("[back]", 2, "back.source: field required"),
        ('[back]\nsource = "a"\ntarget = "b"', 3, "a does not exist"),
    ):
        path.write_text(text)
        result = call(*corpus.preprocess(tmp_path / "store", "--corpora", path))
        assert (result.code, result.out) == (code, "") and message in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["corpora.toml"]


def test_the_config_of_a_run_has_its_corpus_weights(run):
    facts = json.loads(call("describe", run, "--json").out)
    assert facts["config"]["training"]["corpus_weights"] == {"reverse": 1.0}
    assert facts["tags"] == ["2en", "2xx"]


def test_word_dropout_knows_all_tags_of_the_pieces(corpus, both, tmp_path):
    """Also tags of pieces that were learnt with another store and that this corpus does not use."""
    manifest, store, run = (tmp_path / name for name in ("one.toml", "store", "run"))
    manifest.write_text('[main]\ntag = "2xx"\n')
    command = [*corpus.preprocess(store, "--corpora", manifest, "--pieces-of", both)]
    assert call(*command).code == 0
    assert call(*train(store, run, "--set=model.word_dropout=0.1", updates=1)).code == 0
    opened = RunDirectory.open(run)
    last = opened.tokenizer("source").tags["2xx"]
    assert last == EOS + opened.build_model().encoder.tags == EOS + 2
