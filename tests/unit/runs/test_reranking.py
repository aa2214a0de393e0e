"""The order of candidates after minimum Bayes risk."""

import pytest
from reruns import new_run, train

from cli.runs.reranking import by_utility
from cli.runs.translator import Translator
from data.token_store import TokenStore
from seq2seq.config import SearchConfig
from seq2seq.errors import ConfigError

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
    sampled = by_utility(TEXTS, PROBABILITIES, SearchConfig(sample=True), target_language=None)
    searched = by_utility(TEXTS, PROBABILITIES, SearchConfig(), target_language=None)
    assert [index for index, _ in sampled] == [1, 2, 0]  # the equal one is not listed again
    assert searched[0][0] == 0


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
        ranked = by_utility(
            [c.text for c in candidates],
            [c.log_probability for c in candidates],
            search,
            target_language=None,
        )
        expected = [(candidates[index].text, utility) for index, utility in ranked[:2]]
        assert [(c.text, c.score) for c in found.candidates] == expected
        assert all(0 <= c.score <= 100 and c.log_probability < 0 for c in found.candidates)


def test_one_candidate_is_the_translation_itself(run):
    plain = Translator.load(run, device="cpu").translate(LINES)
    risk = Translator.load(run, search={"mbr": 1}, device="cpu").translate(LINES)
    assert [each.text for each in risk] == [each.text for each in plain]
    with pytest.raises(ConfigError, match=r"search\.mbr is 1001"):
        Translator.load(run, search={"mbr": 1001}, device="cpu")
