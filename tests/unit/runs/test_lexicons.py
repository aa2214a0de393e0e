"""The lexicon of a run."""

import shutil

import pytest
import torch
from reruns import new_run, train

from cli.runs.directory import RunDirectory
from cli.runs.lexicons import learnt_table
from cli.runs.translator import Translator
from cli.runs.verification import verify_parts
from data.corpus import SentencePair
from data.token_store import TokenStore
from seq2seq.errors import CheckpointError

LINES = ["ba ce di", "fo gu ha je"]


@pytest.fixture(scope="module")
def run(tmp_path_factory, store_path):
    store = TokenStore.open(store_path)
    sections = {"model": {"lexicon": 7}, "training": {"updates": 8}}
    made = new_run(tmp_path_factory.mktemp("runs") / "run", store, **sections)
    train(made, store)
    return RunDirectory.open(made.path)


def test_its_entries_are_those_of_the_training_pairs(run, store):
    lexicon, table = run.build_model().lexicon, learnt_table(store)
    assert lexicon.columns.shape == (store.meta["source_vocabulary"], 7)
    for source in (5, 300):
        ids = [each for each in table.likely[source, :7].tolist() if each >= 0]
        columns = run.build_model().output.columns[ids].tolist()
        assert lexicon.columns[source, : len(ids)].tolist() == columns
    expected = torch.from_numpy(table.probabilities[:, :7])
    torch.testing.assert_close(lexicon.probabilities, expected)
    assert run.path / "lexicon.safetensors" in run.own_files


def test_a_translation_is_scored_as_the_search_scored_it(run):
    translator = Translator.load(run.path, search={"beam": 3}, device="cpu")
    for translation in translator.translate(LINES):
        best = translation.candidates[0]
        forced = translator.log_probabilities(translation.source, best)
        assert sum(forced) == pytest.approx(best.log_probability, abs=1e-4)
        (scored,) = translator.score_pairs([SentencePair(translation.source, best.text)])
        given = translator.force(translation.source, translator._target.encode(best.text))
        expected = given.candidates[0].log_probability
        assert scored.log_probability == pytest.approx(expected, abs=1e-4)


def test_without_its_file_a_run_is_damaged(run, tmp_path):
    copy = RunDirectory.open(shutil.copytree(run.path, tmp_path / "run"))
    file = copy.path / "lexicon.safetensors"
    whole = file.read_bytes()
    for damaged in (whole[:-1], None):
        if damaged is None:
            file.unlink()
        else:
            file.write_bytes(damaged)
        assert [part.name for part in verify_parts(copy.path) if part.problem] == [
            "lexicon.safetensors, by the SHA-256 in it"
        ]
        with pytest.raises(CheckpointError, match=r"lexicon\.safetensors is damaged") as error:
            Translator.load(copy.path, device="cpu")
        assert error.value.hint == f"restore {copy.path}"
