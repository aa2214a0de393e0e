"""Runs that translate together, and those that cannot."""

import shutil

import pytest
from reruns import new_run, train
from tiny import corpus_lines, prepare, write_corpus

from cli.runs.directory import RunDirectory
from cli.runs.translator import Translator
from data.config import DataConfig
from data.corpora import CorpusFiles
from data.corpus import SentencePair
from data.token_store import TokenStore
from seq2seq.checkpoints.folder import point
from seq2seq.errors import ConfigError

LINES = ["ba ce di", "", "fo gu"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory, store_path):
    """Three runs on one store: two seeds, and another order of attention."""
    store, folder = TokenStore.open(store_path), tmp_path_factory.mktemp("runs")
    made = []
    for seed, attention in ((1, "luong"), (2, "luong"), (3, "none")):
        run = new_run(
            folder / f"run{seed}",
            store,
            model={"attention": attention},
            training={"updates": 4, "seed": seed},
        )
        train(run, store)
        made.append(run.path)
    return made


def test_a_run_beside_itself_translates_as_it_does_alone(runs):
    alone = Translator.load(runs[0], device="cpu")
    twice = Translator.load(runs[0], with_=[runs[0]], device="cpu")
    for one, other in zip(alone.translate(LINES), twice.translate(LINES), strict=True):
        assert one.text == other.text
        scores = [c.score for c in one.candidates], [c.score for c in other.candidates]
        assert scores[0] == pytest.approx(scores[1], abs=1e-5)


def test_runs_with_and_without_attention_translate_together(runs):
    ensemble = Translator.load(runs[2], with_=runs[:2], device="cpu")
    members = [Translator.load(run, device="cpu") for run in runs]
    together, _, other = ensemble.translate(LINES)
    assert ensemble.has_attention and not members[2].has_attention
    assert together.alignment is not None and other.alignment is not None
    assert together.candidates[0].log_probability not in [
        each.translate(LINES)[0].candidates[0].log_probability for each in members
    ]
    assert [each["run"] for each in ensemble.provenance["ensemble"]] == list(map(str, runs[:2]))
    assert "ensemble" not in members[0].provenance


def test_last_is_that_of_every_run_and_any_other_checkpoint_that_of_the_first(runs, tmp_path):
    other = RunDirectory.open(shutil.copytree(runs[1], tmp_path / "run"))
    first = shutil.copytree(other.checkpoint("last"), other.checkpoints / "update-000000001")
    point(other.checkpoints, "best", first)
    for asked, taken in (("best", first), ("last", other.checkpoint("last"))):
        loaded = Translator.load(runs[0], with_=[other.path], checkpoint=asked, device="cpu")
        assert loaded.provenance["ensemble"][0]["checkpoint"] == taken.name


def test_the_setting_chooses_how_probabilities_are_combined(runs):
    found = set()
    for how in ("linear", "log_linear"):
        translator = Translator.load(
            runs[0], with_=[runs[1]], search={"ensemble": how}, device="cpu"
        )
        found.add(translator.score_pairs([SentencePair("ba ce", "fo")])[0].log_probability)
    assert len(found) == 2


def test_given_translations_are_scored_by_all_runs(runs):
    ensemble = Translator.load(runs[0], with_=[runs[1]], device="cpu")
    alone = Translator.load(runs[0], device="cpu")
    pairs = [SentencePair("ba ce di", "fo gu"), SentencePair("", "ba")]
    scored, blank = ensemble.score_pairs(pairs)
    assert blank.log_probabilities == ()
    forced = ensemble.align(*pairs[0]).candidates[0].log_probability
    assert scored.log_probability == pytest.approx(forced, abs=1e-5)
    assert abs(scored.log_probability - alone.score_pairs(pairs)[0].log_probability) > 1e-3


def test_a_weight_is_as_good_as_naming_a_run_again(runs):
    weighted = Translator.load(
        runs[0], with_=[runs[1]], search={"ensemble_weights": [2, 1]}, device="cpu"
    )
    repeated = Translator.load(runs[0], with_=[runs[0], runs[1]], device="cpu")
    for one, other in zip(weighted.translate(LINES), repeated.translate(LINES), strict=True):
        assert [c.score for c in one.candidates] == pytest.approx(
            [c.score for c in other.candidates], abs=1e-5
        )


def test_weights_for_another_number_of_runs_are_refused(runs):
    with pytest.raises(ConfigError, match="has 3 weights for 2 runs"):
        Translator.load(runs[0], with_=[runs[1]], search={"ensemble_weights": [1, 1, 1]})
    with pytest.raises(ConfigError, match=r"search\.ensemble_weights\.0 is 0"):
        Translator.load(runs[0], with_=[runs[1]], search={"ensemble_weights": [0, 1]})


def test_runs_with_other_pieces_are_refused(runs, tmp_path):
    train_files = CorpusFiles(*write_corpus(tmp_path, "train", list(corpus_lines(90, seed=5))))
    valid_files = CorpusFiles(*write_corpus(tmp_path, "valid", list(corpus_lines(12, seed=6))))
    prepare(
        train_files, valid_files, tmp_path / "store", DataConfig(vocabulary_size=305), processes=1
    )
    store = TokenStore.open(tmp_path / "store")
    other = new_run(tmp_path / "run", store, training={"updates": 1})
    train(other, store)
    with pytest.raises(ConfigError, match="has other source pieces than") as refused:
        Translator.load(runs[0], with_=[other.path])
    assert "--pieces-of" in refused.value.hint
