"""Both directions in one model: the same corpus with its sides swapped, each direction tagged."""

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
    succeed(*corpus.preprocess(store, "--corpora", manifest))
    return store


@pytest.fixture(scope="module")
def run(both):
    """A model of both directions, with every setting of the data at work; read only."""
    run = both.parent / "run"
    succeed(*train(both, run, *SETTINGS))
    return run


def test_another_process_trains_the_same_model(both, run, tmp_path):
    ended = call(*train(both, tmp_path / "again", *SETTINGS))
    assert ended.code == 0, ended.err
    assert (tmp_path / "again/metrics.jsonl").read_bytes() == (run / "metrics.jsonl").read_bytes()


def words(lines):
    return [word for line in lines for word in line.split()]


def share_of(vocabulary, lines):
    found = words(lines)
    return sum(word in vocabulary for word in found) / len(found)


def test_the_report_tells_of_each_corpus(corpus, manifest, both):
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


def test_the_tag_says_which_way_to_translate(run, corpus):
    there, back = (path.read_bytes() for path in corpus.valid)
    usual = call("translate", run, given=there)
    assert usual.code == 0, usual.err
    assert call("translate", run, "--tag", "2xx", given=there).lines == usual.lines
    other = call("translate", run, "--tag", "2en", given=back)
    assert len(usual.lines) == len(other.lines) == 40
    assert share_of(MIRRORED, usual.lines) > 0.9 and share_of(set(WORDS), other.lines) > 0.9


def test_blank_lines_stay_blank_whatever_the_tag(run):
    for tag in ("2xx", "2en", "none"):
        lines = call("translate", run, "--tag", tag, given=b"red dog\n\n \nthe cat\n").lines
        assert [bool(line) for line in lines] == [True, False, False, True]


def test_evaluation_takes_a_tag(run, corpus):
    source, target = corpus.valid
    found = {
        tag: json.loads(call("evaluate", run, target, source, "--tag", tag, "--json").out)
        for tag in ("2xx", "2en")
    }
    assert found["2en"]["chrf"]["score"] > found["2xx"]["chrf"]["score"]


def test_a_tag_is_no_word_of_an_alignment(run, corpus):
    aligned = call("align", run, *corpus.valid, "--format", "json")
    for line, source in zip(aligned.lines, corpus.valid[0].read_text().splitlines(), strict=True):
        alignment = json.loads(line)["alignment"]
        assert len(alignment["source"]) == len(source.split()) + 1  # and the end
        for row in alignment["weights"]:
            assert sum(row) == pytest.approx(1, abs=1e-3)
    links = call("align", run, "-", "--tag", "2en", "--format", "pharaoh", given=b"der god\n").lines
    assert all(link.startswith(("0-", "1-")) for link in links[0].split())


def test_a_tag_that_training_did_not_have_is_refused(run, corpus):
    ended = call("translate", run, "--tag", "2de", given=b"red dog\n")
    assert (ended.code, ended.out) == (2, "")
    assert "there is no tag 2de" in ended.err and "this model has 2en, 2xx" in ended.err


def test_weights_of_corpora_that_are_not_there_are_refused(both, tmp_path):
    for weights, told in (
        ("{back = 1}", "names back, which is no corpus of"),
        ("{main = 0, reverse = 0}", "nothing is left to train on"),
        ("{main = -1}", "training.corpus_weights.main is -1"),
    ):
        ended = call(*train(both, tmp_path / "run", f"--set=training.corpus_weights={weights}"))
        assert (ended.code, ended.out) == (2, "") and told in ended.err
    assert not list(tmp_path.iterdir())


def test_a_file_of_corpora_that_cannot_be_used_is_refused(corpus, tmp_path):
    path = tmp_path / "corpora.toml"
    for text, code, told in (
        ("[back]", 2, "back.source: field required"),
        ('[back]\nsource = "a"\ntarget = "b"', 3, "a does not exist"),
    ):
        path.write_text(text)
        ended = call(*corpus.preprocess(tmp_path / "store", "--corpora", path))
        assert (ended.code, ended.out) == (code, "") and told in ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["corpora.toml"]


def test_the_config_of_a_run_holds_its_weights(run):
    facts = json.loads(call("describe", run, "--json").out)
    assert facts["config"]["training"]["corpus_weights"] == {"reverse": 1.0}
    assert facts["tags"] == ["2en", "2xx"]


def test_word_dropout_knows_all_tags_of_the_pieces(corpus, both, tmp_path):
    """Those of pieces that were taken over, too, of which this corpus uses the last alone."""
    manifest, store, run = (tmp_path / name for name in ("one.toml", "store", "run"))
    manifest.write_text('[main]\ntag = "2xx"\n')
    command = [*corpus.preprocess(store, "--corpora", manifest, "--pieces-of", both)]
    assert call(*command).code == 0
    assert call(*train(store, run, "--set=model.word_dropout=0.1", updates=1)).code == 0
    opened = RunDirectory.open(run)
    last = opened.tokenizer("source").tags["2xx"]
    assert last == EOS + opened.build_model().encoder.tags == EOS + 2
