"""The order of candidates after minimum Bayes risk, or rescoring by the other direction."""

import json
import shlex
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from program import call
from reruns import new_run, train

from cli.runs.directory import RunDirectory
from cli.runs.reranking import by_reverse_model, by_utility, features_of, require_reverse
from cli.runs.translation import Candidate, PairScore
from cli.runs.translator import Translator
from data.corpus import SentencePair
from data.token_store import TokenStore
from seq2seq.config import SearchConfig
from seq2seq.errors import ConfigError, CorpusError

LINES = ["ba ce di", "", "fo gu ha je"]
TEXTS = ["Katzen schlafen", "ein Hund läuft", "ein Hund", "ein Hund läuft"]
PROBABILITIES = [-1.0, -2.0, -3.0, -4.0]


@pytest.fixture(scope="module")
def run(tmp_path_factory, store_path):
    store = TokenStore.open(store_path)
    made = new_run(tmp_path_factory.mktemp("runs") / "run", store, training={"updates": 8})
    train(made, store)
    return made.path


def test_samples_count_equally_and_hypotheses_of_a_beam_by_their_probability():
    candidates = [
        Candidate(text, 0.0, log_probability, (), (), None)
        for text, log_probability in zip(TEXTS, PROBABILITIES, strict=True)
    ]
    sampled = by_utility(candidates, SearchConfig(sample=True), target_language=None)
    searched = by_utility(candidates, SearchConfig(), target_language=None)
    assert [each.log_probability for each in sampled] == [-2.0, -3.0, -1.0]  # the equal one is gone
    assert searched[0].text == TEXTS[0]


@pytest.mark.parametrize("settings", [{"sample": True}, {"beam": 2}], ids=str)
def test_the_candidate_with_the_highest_utility_is_the_translation(run, settings):
    plain = Translator.load(run, search=settings, device="cpu").translate(LINES, n_best=8)
    translator = Translator.load(run, search=settings | {"mbr": 8}, device="cpu")
    search = translator.search
    for found, all_of_them in zip(translator.translate(LINES, n_best=2), plain, strict=True):
        candidates = all_of_them.candidates
        if not candidates:
            assert found.candidates == () and found.text == ""
            continue
        expected = by_utility(candidates, search, target_language=None)[:2]
        assert [(c.text, c.score) for c in found.candidates] == [
            (c.text, c.score) for c in expected
        ]
        assert all(0 <= c.score <= 100 and c.log_probability < 0 for c in found.candidates)


def test_one_candidate_is_the_translation_itself(run):
    plain = Translator.load(run, device="cpu").translate(LINES)
    risk = Translator.load(run, search={"mbr": 1}, device="cpu").translate(LINES)
    assert [each.text for each in risk] == [each.text for each in plain]
    with pytest.raises(ConfigError, match=r"search\.mbr is 1001"):
        Translator.load(run, search={"mbr": 1001}, device="cpu")


def test_candidates_are_ranked_by_how_well_they_are_translated_back(run):
    search = {"beam": 4, "reverse_weight": 0.7, "length_reward": 0.2}
    plain = Translator.load(run, search=search, device="cpu").translate(LINES, n_best=4)
    back = Translator.load(run, device="cpu")  # of a language that is its own reverse
    rescoring = Translator.load(run, search=search, rescore_with=run, device="cpu")
    assert rescoring.provenance["rescored_with"]["run"] == str(run)
    assert "rescored_with" not in back.provenance
    changed = False
    for line, before, after in zip(LINES, plain, rescoring.translate(LINES, n_best=3), strict=True):
        expected = []
        for each in before.candidates:
            (scored,) = back.score_pairs([SentencePair(each.text, line)])
            if each.text:
                score = each.log_probability + 0.7 * scored.log_probability
                expected.append((score + 0.2 * len(each.pieces), each.text))
        expected.sort(reverse=True)
        found = after.candidates
        assert [each.text for each in found] == [text for _, text in expected[:3]]
        assert [c.score for c in found] == pytest.approx([s for s, _ in expected[:3]], abs=1e-4)
        changed |= [c.text for c in found] != [c.text for c in before.candidates[:3]]
    assert changed


def test_features_come_in_the_order_of_the_scores_of_the_search():
    scores = {"ein Hund": -1.5, "Hunde": -1.6, "Katzen": -1.7}  # with a coverage penalty
    candidates = [
        Candidate(text, score, log_probability, (), (text,), None)
        for (text, score), log_probability in zip(scores.items(), (-1.4, -1.2, -1.0), strict=True)
    ]
    back = SimpleNamespace(
        score_pairs=lambda pairs: [PairScore(p, ("",), (-1.0,), False) for p in pairs]
    )
    (rescored,) = by_reverse_model(["a dog"], [candidates], back, SearchConfig())
    assert [each.text for each in rescored] == [*scores][::-1]
    assert [each.text for each in features_of(rescored)] == [*scores]
    assert [each.text for each in features_of(())] == [""]


def test_a_source_that_is_cut_is_found_again_as_far_as_it_was_encoded(run):
    search, line = {"beam": 3, "max_source_pieces": 3}, "ba ce di fo gu"
    (found,) = Translator.load(run, search=search, rescore_with=run, device="cpu").translate([line])
    tokenizer = RunDirectory.open(run).tokenizer("source")
    encoded = tokenizer.decode(tokenizer.encode(line)[:3])
    assert found.truncated and encoded != line
    pair = SentencePair(found.text, encoded)
    (expected,) = Translator.load(run, device="cpu").score_pairs([pair])
    assert found.candidates[0].reverse_log_probability == pytest.approx(
        expected.log_probability, abs=1e-5
    )


def test_how_the_run_that_rescores_would_search_is_no_matter(run, tmp_path):
    reverse = shutil.copytree(run, tmp_path / "run")
    config = (reverse / "config.toml").read_text()
    changed = config.replace("# vocabulary is not set", 'vocabulary = "gone"')
    (reverse / "config.toml").write_text(changed)
    with pytest.raises(CorpusError, match="gone does not exist"):
        Translator.load(reverse, device="cpu")
    assert Translator.load(run, rescore_with=reverse, device="cpu").translate(["ba"])[0].text


def test_samples_are_not_rescored(run):
    for settings in ({"sample": True}, {"mbr": 4}):
        with pytest.raises(ConfigError, match="ranks the candidates of a beam"):
            Translator.load(run, search=settings, rescore_with=run, device="cpu")


def test_a_run_of_the_same_direction_does_not_rescore():
    def directed(source, target):
        return SimpleNamespace(path=Path(f"{source}-run"), languages=(source, target))

    require_reverse(directed("de", "en"), directed("en", "de"))
    require_reverse(directed("de", "en"), directed(None, None))
    with pytest.raises(ConfigError, match="de-run translates de-en, not en-de"):
        require_reverse(directed("de", "en"), directed("de", "en"))


def test_the_options_that_are_printed_give_the_chrf_that_is_printed(run, store_path):
    files = store_path.parent / "valid.src", store_path.parent / "valid.tgt"
    asked = ("tune-rescoring", run, run, *files, "--beam", 4)
    options, found = shlex.split(call(*asked).out), json.loads(call(*asked, "--json").out)
    scored = call("evaluate", run, *files, "--rescore-with", run, "--beam", 4, *options, "--json")
    assert json.loads(scored.out)["chrf"]["score"] == pytest.approx(found["chrf"], abs=1e-6)
