"""The translator in a user's own program: a few lines, and none of the command line's libraries."""

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from program import call
from reruns import new_run, train

from cli.runs import translator as module
from cli.runs.confidence import words
from cli.runs.directory import RunDirectory
from cli.runs.translation import Candidate
from cli.runs.translator import Origin, Translator
from data.corpus import SentencePair
from data.token_store import TokenStore
from seq2seq.batch import EOS
from seq2seq.building import build_model
from seq2seq.config import SearchConfig
from seq2seq.errors import CheckpointError, ConfigError
from seq2seq.search.hypothesis import Hypothesis
from seq2seq.search.inference import SingleModel
from seq2seq.search.translation import translate_ids

SIDES = ("source", "target")
BLOCKED = ("typer", "rich", "prompt_toolkit")
SCRIPT = """
import importlib, importlib.abc, json, pkgutil, sys

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())

from cli.runs.translator import Translator

translator = Translator.load({run!r}, device="cpu", threads=1)
(translation,) = translator.translate(["ba ce di"], n_best=2)
print(json.dumps([translation.text, [c.score for c in translation.candidates],
                  translation.alignment.weights.tolist()]))
assert not {{"sympy", "sacrebleu", "optuna", "torch._dynamo"}} & {{*sys.modules}}  # slow

import cli.runs

for module in pkgutil.iter_modules(cli.runs.__path__, "cli.runs."):
    importlib.import_module(module.name)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory, store_path) -> RunDirectory:
    store = TokenStore.open(store_path)
    made = new_run(tmp_path_factory.mktemp("runs") / "run", store, training={"updates": 8})
    train(made, store)
    return made


def test_a_script_translates_and_imports_all_of_runs_without_the_command_lines_libraries(run):
    script = SCRIPT.format(blocked=BLOCKED, run=str(run.path))
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    text, scores, weights = json.loads(ended.stdout)
    (expected,) = Translator.load(run.path, device="cpu").translate(["ba ce di"], n_best=2)
    assert text == expected.text
    assert scores == pytest.approx([c.score for c in expected.candidates])
    np.testing.assert_allclose(weights, expected.alignment.weights, atol=1e-6)


def test_the_best_candidate_is_the_translation(run):
    translator = Translator.load(run.path, search={"beam": 3}, device="cpu")
    first, blank, other = translator.translate(["ba ce", " ", "di"], n_best=3)
    for each in (first, other):
        scores = [candidate.score for candidate in each.candidates]
        assert len(scores) == 3 and scores == sorted(scores, reverse=True)
        assert each.text == each.candidates[0].text
        assert each.alignment is each.candidates[0].alignment
        np.testing.assert_allclose(each.alignment.weights.sum(axis=1), 1, atol=1e-6)
    assert (blank.text, blank.candidates, blank.alignment) == ("", (), None)


def test_a_given_translation_is_aligned(run):
    translator = Translator.load(run.path, device="cpu")
    (found,) = translator.translate(["ba ce"], n_best=1)
    aligned = translator.align("ba ce", "ce ba")
    assert (aligned.source, aligned.text) == ("ba ce", "ce ba")
    assert aligned.alignment.source == found.alignment.source
    assert aligned.candidates[0].log_probability <= 0


def test_a_translation_with_pieces_of_no_training_target_has_a_probability(run):
    translator = Translator.load(run.path, device="cpu")
    (candidate,) = translator.align("ba ce", "quince 日本").candidates
    assert candidate.text == "quince 日本" and math.isfinite(candidate.log_probability)
    assert "<0xE6>" in candidate.pieces


def test_other_search_settings_share_the_model(run):
    translator = Translator.load(run.path, search={"beam": 2, "length_penalty": 0.0}, device="cpu")
    changed = translator.with_search({"beam": 1, "banned_words": ["ba"]})
    assert changed.model is translator.model and translator.search.beam == 2
    assert (changed.search.beam, changed.search.length_penalty) == (1, 0.0)
    again = changed.origin.load()
    assert again.search == changed.search
    lines = ["ba ce di", "fo gu"]
    found, reloaded = changed.translate(lines), again.translate(lines)
    assert [each.text for each in found] == [each.text for each in reloaded]
    with pytest.raises(ConfigError, match=r"search\.beam is 0"):
        translator.with_search({"beam": 0})
    with pytest.raises(ConfigError, match="not one word"):
        translator.with_search({"banned_words": ["two words"]})


@pytest.mark.parametrize("search", [{}, {"max_length": 2}])
def test_the_probabilities_of_words_multiply_to_that_of_the_translation(run, search):
    translator = Translator.load(run.path, search=search, device="cpu")
    (translation,) = translator.translate(["ba ce di"])
    (candidate,) = translation.candidates
    pieces = translator.log_probabilities(translation.source, candidate)
    assert len(pieces) == len(candidate.pieces)
    assert math.fsum(pieces) == pytest.approx(candidate.log_probability, abs=1e-5)
    found = words(translator, translation.source, candidate)
    assert "".join(word.text for word in found) == candidate.text
    end = pieces[-1] if candidate.ids[-1] == EOS else 0.0
    total = math.fsum(math.log(word.probability) for word in found)
    assert total + end == pytest.approx(candidate.log_probability, abs=1e-5)
    assert words(translator, "ba", Candidate("", 0.0, 0.0, (), (), None)) == []  # cut at once


def test_heads_are_counted_from_1(run):
    vocabularies = {f"{s}_vocabulary": run.provenance[f"{s}_vocabulary"] for s in SIDES}
    config = run.config.model.model_copy(update={"heads": 2, "attention_size": 6})
    model = build_model(config, **vocabularies, joint=run.config.data.joint)
    source, target = (run.tokenizer(side) for side in SIDES)
    search, alignments = SearchConfig(beam=1), []
    for head in (1, 2):
        translator = Translator(model, source, target, search)
        (found,) = translator.translate(["ba ce di"], head=head)
        inference = SingleModel(model, head=head - 1)
        ((best,),) = translate_ids(inference, [source.encode("ba ce di")], search)
        np.testing.assert_allclose(
            found.alignment.weights, best.weights.double().numpy(), atol=1e-6
        )
        alignments.append(found.alignment.weights)
    assert not np.array_equal(*alignments)


def test_a_line_is_cut_only_beyond_the_maximum_length(run):
    pieces = len(run.tokenizer("source").encode("ba ce di"))
    for limit, is_cut in ((pieces - 1, True), (pieces, False)):
        translator = Translator.load(
            run.path, search={"max_source_pieces": limit, "beam": 1}, device="cpu"
        )
        assert translator.translate(["ba ce di"])[0].truncated == is_cut


def test_products_in_reduced_precision_translate_almost_alike(run):
    exact, rounded = (
        Translator.load(run.path, search={"precision": precision}, device="cpu")
        for precision in ("float32", "bfloat16")
    )
    assert exact.provenance["precision"] == "float32"
    assert rounded.provenance["precision"] == "bfloat16"
    lines = ["ba ce", "di fo gu"]
    for before, after in zip(exact.translate(lines), rounded.translate(lines), strict=True):
        assert before.candidates[0].log_probability != after.candidates[0].log_probability
        assert before.candidates[0].score == pytest.approx(after.candidates[0].score, abs=0.3)
    aligned, expected = (each.align("ba ce", "ce ba").candidates[0] for each in (rounded, exact))
    assert aligned.log_probability == expected.log_probability


def test_a_shortlist_is_learnt_once(run, monkeypatch, tmp_path):
    messages = []
    first, again = (
        Translator.load(run.path, search={"shortlist": 5}, device="cpu", notify=messages.append)
        for _ in range(2)
    )
    assert len(messages) == 1 and "learning a shortlist from" in messages[0]
    assert run.path / "lexicon.safetensors" in run.own_files
    lines = ["ba ce", "di fo gu"]
    for one, other in zip(first.translate(lines), again.translate(lines), strict=True):
        assert one.text == other.text
        allowed = {EOS, *first._shortlist.always.tolist()}
        allowed |= {*first._shortlist.likely[list(one.source_ids)].flatten().tolist()}
        assert {*one.candidates[0].ids} <= allowed
    ((begun,), (free,)) = (
        translator.translate([SentencePair("ba ce", "quince")])
        for translator in (first, Translator.load(run.path, device="cpu"))
    )
    assert begun.text == free.text  # a prefix may need other pieces
    alone, *_ = first.translate([SentencePair("ba ce", "")])
    beside, *_ = first.translate([SentencePair("ba ce", ""), SentencePair("di", "quince")])
    assert alone.candidates[0].score == pytest.approx(beside.candidates[0].score, abs=1e-6)
    (run.path / "lexicon.safetensors").unlink()
    elsewhere = RunDirectory.open(shutil.copytree(run.path, tmp_path / "run"))
    changed = elsewhere.provenance | {"store": {"path": str(tmp_path), "sha256": "0"}}
    (elsewhere.path / "provenance.json").write_text(json.dumps(changed))
    with pytest.raises(ConfigError, match="is no longer that"):
        Translator.load(elsewhere.path, search={"shortlist": 5}, device="cpu")


def test_every_file_that_is_read_to_load_a_translator_is_known(run, tmp_path):
    member, reverse = (
        RunDirectory.open(shutil.copytree(run.path, tmp_path / name)) for name in ("a", "b")
    )
    words = tmp_path / "words"
    search = {"vocabulary": str(words), "shortlist": 5}
    files = Origin(run.path, search=search, with_=[member.path], rescore_with=reverse.path).files
    store = Path(run.provenance["store"]["path"])
    own = [file for each in (run, member, reverse) for file in each.own_files]
    assert {words, store, *own} == {*files}
    assert Origin(run.path).files == run.own_files


def test_lines_with_many_candidates_are_searched_a_few_at_a_time(run, monkeypatch):
    searched = []

    def search(_inference, sources, _config, *, n_best, **_options):
        searched.append((len(sources), n_best))
        return [[Hypothesis((EOS,), -1.0, -1.0, None)] for _ in sources]

    monkeypatch.setattr(module, "translate_ids", search)
    translator = Translator.load(run.path, search={"mbr": 1000}, device="cpu")
    assert len(translator.translate(["ba ce"] * 20)) == 20
    assert searched == [(8, 1000), (8, 1000), (4, 1000)]


def test_what_cannot_be_translated_with_is_refused(run, tmp_path):
    with pytest.raises(CheckpointError, match="is not a run directory"):
        Translator.load(tmp_path)
    with pytest.raises(CheckpointError, match="has no checkpoint 'first'"):
        Translator.load(run.path, checkpoint="first")
    with pytest.raises(ConfigError, match="there is no tag 2en"):
        Translator.load(run.path, tag="2en")
    with pytest.raises(ConfigError, match=r"search\.beam is 0"):
        Translator.load(run.path, search={"beam": 0})
    with pytest.raises(ConfigError, match=r"search\.precision is 'int4'"):
        Translator.load(run.path, search={"precision": "int4"})


def test_links_of_a_run_with_a_lexicon_are_by_the_posterior(store_path, tmp_path):
    path = tmp_path / "run"
    run = new_run(path, TokenStore.open(store_path), model={"lexicon": 5}, training={"updates": 1})
    train(run, TokenStore.open(store_path))
    source, target = store_path.parent / "valid.src", store_path.parent / "valid.tgt"

    def links(*options: str) -> list[str]:
        result = call("align", path, source, target, "--format", "pharaoh", *options)
        assert result.code == 0, result.err
        return result.lines

    assert links() == links("--weights", "posterior") != links("--weights", "attention")
    values = [
        call("align", path, source, target, "--values", *options).out
        for options in ((), ("--weights", "attention"), ("--weights", "posterior"))
    ]
    assert values[0] == values[1] != values[2]
    assert "posterior of attention and lexicon" in values[2]


def test_the_posterior_needs_a_lexicon(run):
    with pytest.raises(ConfigError, match="has no lexicon"):
        Translator.load(run.path, device="cpu").require_lexicon()
