"""Training on other data with the pieces of an earlier store and the weights of an earlier run."""

import json
import shutil

import pytest
from journey import Corpus, train
from program import call

from seq2seq.checkpoints.checkpoint import MODEL


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> Corpus:
    """A corpus with words that the first one lacks: "dogdog" for "dog"."""
    corpus = Corpus(tmp_path_factory.mktemp("other"))
    corpus.write(train=300, valid=40)
    for path in (*corpus.train, *corpus.valid):
        path.write_text(path.read_text().replace("dog", "dogdog").replace("god", "godgod"))
    return corpus


@pytest.fixture(scope="module")
def store(other, run):
    """A store of the other corpus with the pieces of a run; read only."""
    path = other.folder / "store"
    result = call(*without_size(other.preprocess(path, "--pieces-of", run)))
    assert result.code == 0, result.err
    return path


def without_size(arguments):
    position = arguments.index("--vocabulary-size")
    return [*arguments[:position], *arguments[position + 2 :]]


def first_weights(run):
    checkpoints = sorted((run / "checkpoints").glob("update-*"))
    return (checkpoints[0] / MODEL).read_bytes()


def test_pieces_of_a_run_and_of_its_store_are_the_same(prepared, run, store, other, tmp_path):
    assert (store / "pieces.model").read_bytes() == (prepared / "pieces.model").read_bytes()
    again = call(*without_size(other.preprocess(tmp_path / "again", "--pieces-of", prepared)))
    assert again.code == 0, again.err
    assert (tmp_path / "again/meta.json").read_bytes() == (store / "meta.json").read_bytes()
    noted = call(*without_size(other.preprocess(store, "--pieces-of", run)))
    assert "prepared already" in noted.err


def test_training_starts_from_the_weights_of_another_run(run, store, other, tmp_path):
    cold = call(*train(store, tmp_path / "cold", updates=40))
    warm = call(*train(store, tmp_path / "warm", "--start-from", run, updates=40))
    assert cold.code == warm.code == 0, cold.err + warm.err
    assert perplexity(tmp_path / "warm") < perplexity(tmp_path / "cold") / 2
    assert perplexity(tmp_path / "warm") < untrained_perplexity(run, store, tmp_path)
    origin = json.loads(call("describe", tmp_path / "warm", "--json").out)["started_from"]
    best = json.loads(call("describe", run, "--json").out)["checkpoints"]["best"]
    assert origin["run"] == str(run) and origin["model_sha256"] == best["model_sha256"]


def perplexity(run) -> float:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return min(json.loads(line).get("perplexity", float("inf")) for line in lines)


def untrained_perplexity(run, store, folder) -> float:
    """Perplexity of the initial weights on the other corpus: one update with almost no step."""
    still = folder / "still"
    result = call(
        *train(store, still, "--start-from", run, "--set=training.learning_rate=1e-12", updates=1)
    )
    assert result.code == 0, result.err
    return perplexity(still)


def test_a_warm_start_without_a_checkpoint_resumes_from_the_same_weights(run, store, tmp_path):
    """A run without a checkpoint: the machine went down before the first one was written."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert call(*train(store, whole, "--start-from", run, updates=10)).code == 0
    shutil.copytree(whole, cut)
    shutil.rmtree(cut / "checkpoints")
    (cut / "checkpoints").mkdir()
    for left in ("metrics.jsonl", "samples.jsonl", "report.txt"):
        (cut / left).unlink(missing_ok=True)
    result = call("train", store, cut, "--resume", "--threads", 1)
    assert result.code == 0, result.err
    assert (cut / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()


def test_missing_initial_weights_are_refused(run, store, tmp_path):
    origin, path = tmp_path / "origin", tmp_path / "run"
    shutil.copytree(run, origin)
    assert call(*train(store, path, "--start-from", origin, updates=10)).code == 0
    shutil.rmtree(path / "checkpoints")
    (path / "checkpoints").mkdir()
    shutil.rmtree(origin)
    result = call("train", store, path, "--resume", "--threads", 1)
    assert result.code == 4 and str(origin) in result.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set=model.encoder_size=20"], "model.encoder_size is 20"),
        (["--score", "dot"], "model.score is 'dot'"),
        (["--preset", "bahdanau2015"], "both say what the model is"),
    ],
)
def test_another_model_is_refused(run, store, tmp_path, options, message):
    result = call("train", store, tmp_path / "run", "--start-from", run, *options)
    assert result.code == 2 and message in result.err
    assert not (tmp_path / "run").exists()


def test_dropout_may_differ_from_the_first_run(run, store, tmp_path):
    result = call(
        *train(store, tmp_path / "run", "--start-from", run, "--set=model.dropout=0.4", updates=5)
    )
    assert result.code == 0, result.err


def test_other_pieces_are_refused(run, other, tmp_path):
    assert call(*other.preprocess(tmp_path / "store")).code == 0
    result = call("train", tmp_path / "store", tmp_path / "run", "--start-from", run)
    assert result.code == 2 and "other pieces" in result.err and "--pieces-of" in result.err
    contradictory = call(*other.preprocess(tmp_path / "another", "--pieces-of", run, "--separate"))
    assert contradictory.code == 2 and "data.joint is to be False" in contradictory.err


def test_pieces_without_the_tag_are_refused(run, other, tmp_path):
    manifest = tmp_path / "corpora.toml"
    manifest.write_text('[main]\ntag = "2xx"\n')
    command = other.preprocess(tmp_path / "store", "--pieces-of", run, "--corpora", manifest)
    result = call(*without_size(command))
    assert result.code == 2 and "no tag 2xx" in result.err
    assert not (tmp_path / "store").exists()


def test_resume_refuses_start_from(run, store, tmp_path):
    result = call("train", store, run, "--resume", "--start-from", run)
    assert result.code == 2 and "--start-from" in result.err
